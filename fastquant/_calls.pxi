# The public functions. Plain calls end here; _api.py takes all others, with the same rules for every other kind of
# argument. Included by _kernels.pyx.


def quantize(x, scale, zero_point=0, *, dtype=None, axis=None, block_size=None, packed=False, offset=None,
             saturate=True, out=None):
    """Codes of reals: saturate(nearest(x / scale) + zero_point), the formula of the ONNX operator QuantizeLinear.

    A true division, correctly rounded in float32 (in float64 for float64 x); ties to even; the zero point added as an
    integer, after rounding; saturated to the whole range of dtype. Infinities saturate, NaN gives the lowest code.
    Float codes: the quotient rounded once more, to dtype, ties to even, the sign of zero kept where dtype has one; NaN
    stays NaN. Bit-identical on every CPU. The source is fastquant/_reference.py, the formulas in plain NumPy.

    Parameters
    ----------
    x : array of float32, float64, float16 or bfloat16 (16 bits are computed in float32), of any shape and layout; an
        object with DLPack, such as a torch CPU tensor; or numbers, which are float64
    scale : finite number > 0, in units of x a code; rounded to float32 (float64 for float64 x). With axis or block_size
        also an array of such numbers: see axis, block_size.
    zero_point : int32 integer, the code of x = 0, also one outside dtype; or an array of them of scale's shape.
        0 where dtype is a float type.
    dtype : the code type, as a name, a NumPy or ml_dtypes type, or a dtype of those: int8, uint8, int16, uint16, int4,
        uint4, int2, uint2, float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float6_e2m3fn, float6_e3m2fn
        or float4_e2m1fn.
        Types that NumPy lacks are those of ml_dtypes, one code a byte. None: the zero point's type if it is a NumPy
        array or scalar of a code type, else out's, else int8. The int32 zero points of qparams and quantize_dynamic do
        not tell: give dtype with them, unless the codes are int8.
    axis : the axis of which each index has a scale of its own, as in ONNX: 0 for the output channels of weights or for
        the tokens of (tokens, features). A tuple for several: axis=(0, 1) for the tokens of (batch, tokens, features).
        Arrays of parameters have shape (x.shape[axis],), or (x.shape[a] for a in axis) in the order of the tuple.
        None: one scale for all.
    block_size : each so many elements along axis (default: the last) have a scale of their own, the last block what is
        left over. Arrays of parameters have x's shape, but ceil(n / block_size) for the length n of axis.
    packed : True makes uint8 with 2 codes of 4 bits or 4 codes of 2 bits a byte along the last axis, low bits first, a
        row's unused bits zero (see pack): of shape x.shape[:-1] + (ceil(n / 2),), or ceil(n / 4)
    offset : finite real number instead of zero_point, in units of x: saturate(nearest((x - offset) / scale)), the
        difference rounded. Or an array of them of scale's shape.
    saturate : False, for float8 only, makes what lies beyond the largest finite number after rounding, infinities
        included, NaN, or infinity in float8_e5m2, as ONNX's Cast does. 6- and 4-bit floats, which have neither, always
        saturate and turn NaN into their largest number; integers refuse False.
    out : NumPy array of the result's type and shape to write to, of any layout in which each element has memory of its
        own. One that shares memory with the input is written to as if it did not.

    Returns
    -------
    out, or a new C-contiguous array of dtype (packed: uint8) and of x's shape

    Raises
    ------
    TypeError for an argument of a wrong kind, ValueError for a wrong value or shape, each naming the argument, what it
    got and what it takes; out is then as it was.
    """
    cdef plain_t p
    cdef int code
    if axis is None and block_size is None and packed is False and saturate is True and is_plain(x):
        if dtype is not None:
            code = read_code(dtype)
        else:
            code = code_of_zero_point(zero_point)
            if code < 0:
                code = FQ_i8 if out is None else code_made_by(out)
        if read_affine(&p, scale, zero_point, offset, real_of_array(x), code):
            result = new_like(<cnp.ndarray> x, array_type_of_code[code]) if out is None else out
            if out is None or may_write(out, <cnp.ndarray> x, array_type_of_code[code]):
                run_plain(FQ_quantize, <cnp.ndarray> x, <cnp.ndarray> result, &p)
                return result
    if (saturate is True or saturate is False) and (packed is False or packed is True):
        code = read_code(dtype)
        if dtype is None:
            code = code_of_zero_point(zero_point)
            if code < 0:
                code = FQ_i8 if out is None or packed is True else code_made_by(out)
        result = granular(FQ_quantize, x, real_of_array(x), code, scale, zero_point, offset, axis, block_size,
                          packed is True, saturate is False, out)
        if result is not NotImplemented:
            return result
    return general("quantize", (x, scale, zero_point, dtype, axis, block_size, packed, offset, saturate, out))


def dequantize(q, scale, zero_point=0, *, dtype="float32", axis=None, block_size=None, packed=None, offset=None,
               out=None):
    """Reals of codes: (q - zero_point) * scale, the formula of the ONNX operator DequantizeLinear.

    The difference is exact, but for int32 q (rounded once); the product is rounded once to float32, then to dtype; for
    float64 all of it is in float64. Float codes: real(q) * scale, NaN and infinity kept, and -0. Bit-identical on every
    CPU. The source is fastquant/_reference.py, the formulas in plain NumPy.

    Parameters
    ----------
    q : array of a code type (see quantize) or of int32, of any shape and layout; an object with DLPack. With `packed`,
        an array of uint8.
    scale, zero_point, axis, block_size : as for quantize; scale in units of the result a code, and shapes by that of
        the codes, also when they are packed
    dtype : float32, float64, float16 or bfloat16
    packed : the type of packed codes, as quantize(..., packed=True) and pack make them: int4, uint4, int2, uint2 or
        float4_e2m1fn. The result has q's shape, with 2 or 4 times its last length; out of another last length, which
        needs as many bytes, says how many of a row's codes are meant. None: q is not packed.
    offset : finite real number instead of zero_point, in units of the result: q * scale + offset, each operation
        rounded once (no fused multiply-add). Or an array of them of scale's shape.
    out : NumPy array of dtype and of q's shape to write to, of any layout; may share memory with q

    Returns
    -------
    out, or a new C-contiguous array of dtype and of the codes' shape

    Raises
    ------
    TypeError for an argument of a wrong kind, ValueError for a wrong value or shape; out is then as it was.
    """
    cdef plain_t p
    if axis is None and block_size is None and (packed is None or packed is False) and is_plain(q):
        if read_affine(&p, scale, zero_point, offset, read_real(dtype), code_of_array(q)):
            result = new_like(<cnp.ndarray> q, array_type_of_real[p.real]) if out is None else out
            if out is None or may_write(out, <cnp.ndarray> q, array_type_of_real[p.real]):
                run_plain(FQ_dequantize, <cnp.ndarray> q, <cnp.ndarray> result, &p)
                return result
    if packed is not True:
        unpacked = packed is None or packed is False
        result = granular(FQ_dequantize, q, read_real(dtype), code_of_array(q) if unpacked else read_code(packed), scale,
                          zero_point, offset, axis, block_size, not unpacked, False, out)
        if result is not NotImplemented:
            return result
    return general("dequantize", (q, scale, zero_point, dtype, axis, block_size, packed, offset, out))


def fake_quantize(x, scale, zero_point=0, *, dtype="int8", axis=None, block_size=None, offset=None, saturate=True,
                  out=None):
    """dequantize(quantize(x)) in one pass: what x becomes by quantizing, as reals.

    x, scale, zero_point, axis, block_size, offset and saturate are those of quantize; dtype, the code type, is int8
    unless given (the int32 zero points of qparams do not tell: give dtype with them), and a zero point of another code
    type is refused. The result has x's type and shape, in x's
    units; out has them too and may be x itself. NaN becomes the real of its code: with integer codes, of the lowest.
    Bit-identical to the two calls with that dtype, on every CPU.

    Returns
    -------
    out, or a new C-contiguous array of x's type and shape

    Raises
    ------
    TypeError for an argument of a wrong kind, ValueError for a wrong value or shape; out is then as it was.
    """
    cdef plain_t p
    cdef int code
    if axis is None and block_size is None and saturate is True and is_plain(x):
        code = read_code(dtype)
        if code_of_zero_point(zero_point) not in (-1, code):
            code = -1  # general() says what is wrong
        if read_affine(&p, scale, zero_point, offset, real_of_array(x), code):
            result = new_like(<cnp.ndarray> x, array_type_of_real[p.real]) if out is None else out
            if out is None or may_write(out, <cnp.ndarray> x, array_type_of_real[p.real]):
                run_plain(FQ_fake_quantize, <cnp.ndarray> x, <cnp.ndarray> result, &p)
                return result
    if saturate is True or saturate is False:
        code = read_code(dtype)
        if code_of_zero_point(zero_point) not in (-1, code):
            code = -1
        result = granular(FQ_fake_quantize, x, real_of_array(x), code, scale, zero_point, offset, axis, block_size, False,
                          saturate is False, out)
        if result is not NotImplemented:
            return result
    return general("fake_quantize", (x, scale, zero_point, dtype, axis, block_size, offset, saturate, out))


cdef bint find_extent(cnp.ndarray x, float *lo, float *hi) noexcept:
    """Range of a plain array of float32 or a half type, -0 counted as +0; False if it is empty or not finite."""
    cdef fq_tile t
    cdef float poison
    cdef fq_fpenv env
    cdef bint finite
    memset(&t, 0, sizeof(t))
    t.real = real_of_array(x)
    begin_extent(&t, lo, hi, &poison)
    t.src, t.rows, t.n = cnp.PyArray_BYTES(x), 1, cnp.PyArray_SIZE(x)
    run_tile(fq_active_table()[0][<int> FQ_minmax][t.real][0], &t, cnp.PyArray_ITEMSIZE(x), 0, False)
    env = fq_fpenv_enter()  # so that a subnormal does not compare equal to 0
    finite = settle(lo, hi, &poison, 1)
    fq_fpenv_leave(env)
    return finite and cnp.PyArray_SIZE(x) > 0


cdef inline bint is_single_precision(object x) noexcept:
    """A plain array whose arithmetic is that of float32."""
    return is_plain(x) and real_of_array(x) >= 0 and real_of_array(x) != FQ_f64


def minmax(x, *, axis=None, block_size=None):
    """Smallest and largest value, in one pass.

    Parameters
    ----------
    x : array of float32, float64, float16 or bfloat16, of any shape and layout; an object with DLPack;
        or numbers, which are float64
    axis : None for the range of all of x, or the axis, or tuple of axes, of which each index has a range of its own
        (not, as in np.min, the axis that is reduced away)
    block_size : ranges of each so many elements along axis (default: the last), the last block what is left over

    Returns
    -------
    Range(lo, hi), in x's units and of the type that arithmetic on x runs in (float64 for float64 x, else float32): two
    scalars, or with axis or block_size two arrays of the shape that quantize takes scales in. A zero is +0.

    Raises
    ------
    ValueError if a range is empty or x holds NaN or infinity, TypeError if it does not hold reals.
    """
    cdef float lo, hi
    if axis is None and block_size is None and is_single_precision(x) and find_extent(<cnp.ndarray> x, &lo, &hi):
        return named(Range, (float32_scalar(lo), float32_scalar(hi)))
    result = granular_minmax(x, axis, block_size)
    if result is not NotImplemented:
        return result
    return general("minmax", (x, axis, block_size))


def qparams(lo, hi, dtype="int8", *, symmetric=True, narrow_range=False, include_zero=True):
    """Scale and zero point that map the reals from lo to hi onto the codes of dtype.

    Computed in float64, each rounded once. highest and lowest are the ends of dtype's range.

    symmetric      scale = max(|lo|, |hi|) / highest, zero_point = 0 (Wu et al., "Integer Quantization for Deep Learning
                   Inference", arXiv 2004.09602, section 3.1.2). Unsigned types: the zero point is their middle,
                   (highest + 1) / 2, and the divisor highest - middle; for uint8 128 and 127.
    asymmetric     scale = (hi - lo) / (highest - lowest), zero_point = nearest(lowest - lo / scale), ties to even, as
                   in the ONNX operator DynamicQuantizeLinear, which computes in float32: for its very bits use
                   fastquant.onnx. With include_zero the range is first widened to hold 0,
                   so that 0 has a code of its own, and the zero point lies in dtype; without, it is any int32.
    narrow_range   leaves out the lowest code: -128 of int8, 0 of uint8
    float codes    scale = max(|lo|, |hi|) / largest finite number, zero_point = 0; only symmetric and without
                   narrow_range

    A range of zero has scale 1; a scale that would be subnormal in float32 is the smallest normal, 2**-126.

    Parameters
    ----------
    lo, hi : numbers, or arrays of one shape, finite, lo <= hi, in the units of the data
    dtype : a code type, as for quantize
    symmetric, narrow_range, include_zero : True or False

    Returns
    -------
    QParams(scale, zero_point): float32, in units of the data a code, and int32, the code of 0; scalars or arrays of the
    shape of lo and hi

    Raises
    ------
    ValueError for NaN, infinity, lo > hi, shapes that differ, a range too wide for a float32 scale, a zero point beyond
    int32, and for what float types do not have; TypeError for what is no real number.
    """
    cdef double low = 0, high = 0
    cdef float scale
    cdef int32_t zero_point
    cdef int code, status = FQ_RANGE_TOO_WIDE  # or not plain
    cdef fq_scheme scheme
    cdef fq_fpenv env
    symmetric, narrow_range = flag(symmetric, "symmetric"), flag(narrow_range, "narrow_range")
    include_zero = flag(include_zero, "include_zero")
    code = read_code(dtype)
    if code >= 0 and fq_scheme_of(&scheme, code, symmetric, narrow_range, include_zero):
        env = fq_fpenv_enter()
        if (not has_axes(lo) and not has_axes(hi) and read_number(lo, &low) and read_number(hi, &high)
                and -INFINITY < low <= high < INFINITY):
            status = fq_qparams_f64(&low, &high, 1, &scheme, &scale, &zero_point)
        fq_fpenv_leave(env)
        if status == FQ_RANGE_OK:
            return named(QParams, (float32_scalar(scale), int32_scalar(zero_point)))
    return general("qparams", (lo, hi, dtype, symmetric, narrow_range, include_zero))


def quantize_dynamic(x, dtype="int8", *, symmetric=True, narrow_range=False, axis=None, block_size=None, packed=False,
                     out=None):
    """Codes of x with the scale and the zero point that fit its own range: minmax, then qparams, then quantize.

    Without out, x is read from memory once where each scale's elements fit the cache. With out it is read twice, since
    out is not to be half-written by a call that raises.

    Parameters
    ----------
    x, axis, block_size, packed, out : as for quantize; no scale without elements of x, no NaN or infinity
    dtype : the code type, as for quantize
    symmetric, narrow_range : as for qparams, whose include_zero is on

    Returns
    -------
    Quantized(q, scale, zero_point): codes of x's shape (packed: uint8), a float32 in units of x a code, and an int32,
    the code of 0; with axis or block_size arrays of them, of the shape that quantize takes scales in

    Raises
    ------
    TypeError for an argument of a wrong kind, ValueError for a wrong value or shape; out is then as it was.
    """
    cdef plain_t p
    cdef fq_scheme scheme
    cdef fq_fpenv env
    cdef float lo, hi
    cdef int code = read_code(dtype)
    symmetric, narrow_range = flag(symmetric, "symmetric"), flag(narrow_range, "narrow_range")
    if (axis is None and block_size is None and packed is False and code >= 0 and is_single_precision(x)
            and fq_scheme_of(&scheme, code, symmetric, narrow_range, True) and find_extent(<cnp.ndarray> x, &lo, &hi)):
        # Looked at only now: while the range was found another thread may have run.
        if is_single_precision(x) and (out is None or may_write(out, <cnp.ndarray> x, array_type_of_code[code])):
            p.real, p.code, p.offset, p.has_offset = real_of_array(x), code, 0, False
            env = fq_fpenv_enter()
            # Two finite float32 always have a float32 scale, and with include_zero a zero point.
            fq_qparams_f32(&lo, &hi, 1, &scheme, &p.single_scale, &p.zero_point)
            fq_fpenv_leave(env)
            q = new_like(<cnp.ndarray> x, array_type_of_code[code]) if out is None else out
            run_plain(FQ_quantize, <cnp.ndarray> x, <cnp.ndarray> q, &p, True)
            return named(Quantized, (q, float32_scalar(p.single_scale), int32_scalar(p.zero_point)))
    elif (code >= 0 and (packed is False or packed is True)
            and fq_scheme_of(&scheme, code, symmetric, narrow_range, True)):
        result = granular_dynamic(x, code, &scheme, axis, block_size, packed is True, out)
        if result is not NotImplemented:
            return result
    return general("quantize_dynamic", (x, dtype, symmetric, narrow_range, axis, block_size, packed, out))


def requantize(q, scale, zero_point, new_scale, new_zero_point, *, dtype="int8", axis=None, out=None):
    """Codes of one scale as codes of another: quantize(dequantize(q, scale, zero_point), new_scale, new_zero_point).

    Both steps are those of the functions of that name, in float32, without an array in between: the difference exact
    (rounded once for int32 q), the product rounded, the quotient rounded, then the code. NaN, from a float8 code,
    becomes what quantize makes of NaN. Bit-identical to the two calls, on every CPU.

    Parameters
    ----------
    q : array of a code type (see quantize) or of int32, such as the sums of an integer matrix product, of any shape and
        layout; an object with DLPack
    scale, zero_point : those of q, as for dequantize
    new_scale, new_zero_point : those of the result, as for quantize
    dtype : the code type of the result
    axis : as for quantize; each of the four parameters is a number or an array of one shape
    out : NumPy array of dtype and of q's shape to write to, of any layout; may be q itself

    Returns
    -------
    out, or a new C-contiguous array of dtype and of q's shape

    Raises
    ------
    TypeError for an argument of a wrong kind, ValueError for a wrong value or shape; out is then as it was.
    """
    result = granular_pair(q, read_code(dtype), scale, zero_point, new_scale, new_zero_point, axis, out)
    if result is not NotImplemented:
        return result
    return general("requantize", (q, scale, zero_point, new_scale, new_zero_point, dtype, axis, out))


def pack(q):
    """Codes of 4 or 2 bits packed into bytes along the last axis, low bits first: ONNX's layout, row by row.

    q : array of int4, uint4, int2, uint2 or float4_e2m1fn, of any layout, of one dimension or more. Bits of a byte that
        the type does not use are ignored.

    Returns a new array of uint8 and of shape q.shape[:-1] + (ceil(n / 2),), of 2-bit types ceil(n / 4), for the length
    n of the last axis; each row begins in a new byte, and the bits left over in its last one are 0. (ONNX packs a tensor
    as one row: the bytes are the same where rows fill theirs.)

    Raises TypeError for an array of another type, ValueError for one without dimensions.
    """
    result = pack_plain(q)
    if result is not NotImplemented:
        return result
    return general("pack", (q,))


def unpack(p, dtype, shape):
    """Packed codes as an array of dtype and shape, the inverse of pack.

    p : array of uint8, of any layout, of one dimension or more
    dtype : int4, uint4, int2, uint2 or float4_e2m1fn
    shape : an integer or a tuple of them, the shape of the codes: p's but for the last length n, which packs into
        p.shape[-1] bytes. What p holds behind the last code of a row is ignored.

    Returns a new array of dtype, one code a byte, and of that shape.

    Raises TypeError for a p that is not of uint8 or a shape that is no integers, ValueError for another dtype or a
    shape that does not pack into p's.
    """
    result = unpack_plain(p, read_code(dtype), shape)
    if result is not NotImplemented:
        return result
    return general("unpack", (p, dtype, shape))
