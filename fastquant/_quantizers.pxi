# Quantizer and Dequantizer: parameters that are checked once. Included by _kernels.pyx.
#
# They hold copies that nobody can write to, so that calls need no lock, and single numbers no second look. What _api.py
# makes of the arguments is kept in the type that each arithmetic runs in; a call takes the ways of _calls.pxi with it.

@cython.auto_pickle(False)  # the two have their own
cdef class _Fixed:
    cdef object __weakref__
    cdef readonly object scale, zero_point, dtype, axis, block_size, packed, offset
    cdef plain_t plain            # of single numbers
    cdef bint single              # all are
    cdef bint fits_float32        # scales and offsets are numbers of float32 too
    cdef int code
    cdef object scale32, scale64, offset32, offset64, zero_points

    cdef int hold(self, tuple checked) except -1:
        """checked: what _api.fixed found."""
        cdef double scale, offset = 0
        cdef fq_fpenv env
        self.scale, self.zero_point, self.offset, self.axis, self.block_size, self.fits_float32, numbers = checked
        self.scale32, self.scale64, self.offset32, self.offset64, self.zero_points = numbers
        self.single = (self.axis is None and self.block_size is None)
        self.plain.has_offset = self.offset is not None
        if self.single:
            self.plain.scale, scale = self.scale64, self.scale32
            self.plain.zero_point = self.zero_points
            if self.plain.has_offset:
                self.plain.offset, offset = self.offset64, self.offset32
            env = fq_fpenv_enter()  # no flushing of what is subnormal; not <float>, for the reason in read_affine
            fq_round_f32(&scale, &self.plain.single_scale)
            fq_round_f32(&offset, &self.plain.single_offset)
            fq_fpenv_leave(env)
        return 0

    cdef object run(self, int op, object a, int real, int code, bint packed, bint beyond, object out):
        """NotImplemented for what _api.py should look at."""
        cdef plain_t p
        cdef int made
        cdef bint wide = real == FQ_f64
        if real < 0 or code < 0 or not (wide or self.fits_float32):
            return NotImplemented
        if self.single and not packed and not beyond and is_plain(a):
            p = self.plain
            p.real, p.code = real, code
            made = array_type_of_code[code] if op == FQ_quantize else array_type_of_real[real]
            if out is None or may_write(out, <cnp.ndarray> a, made):
                result = new_like(<cnp.ndarray> a, made) if out is None else out
                run_plain(op, <cnp.ndarray> a, <cnp.ndarray> result, &p)
                return result
        return granular(op, a, real, code, self.scale64 if wide else self.scale32, self.zero_points,
                        self.offset64 if wide else self.offset32, self.axis, self.block_size, packed, beyond, out)

    cdef str described(self, list rest):
        with np.printoptions(threshold=8, edgeitems=2):  # which logs can bear
            parts = [repr(self.scale)]
            if self.offset is None:
                parts.append(repr(self.zero_point))
            parts.append(f"dtype={str(self.dtype)!r}")
            parts += [f"{name}={value!r}" for name, value in [("axis", self.axis), ("block_size", self.block_size),
                                                             ("offset", self.offset), *rest] if value is not None]
        return f"{type(self).__name__}({', '.join(parts)})"


@cython.final
cdef class Quantizer(_Fixed):
    """Quantizer(scale, zero_point=0, *, dtype=None, axis=None, block_size=None, packed=False, offset=None, saturate=True)
--

    fq.quantize with parameters that are checked once: Quantizer(scale, zero_point)(x) is quantize(x, scale, zero_point).

    An instance does not change and may be called from several threads at once. It can be pickled, and holds copies of its
    parameters. The code type is settled when it is made: dtype, else the zero point's type, else int8, whatever out is
    later; the int32 zero points of qparams do not tell.

    Parameters
    ----------
    scale, zero_point, dtype, axis, block_size, packed, offset, saturate : as for quantize; those that it is called with are
        attributes of the same names. What depends on x (whether axis is one of its axes, whether there are as many scales
        as indices) is checked when it is called.

    quantizer(x, out=None)
    ----------------------
    x, out : as for quantize

    Returns
    -------
    what quantize returns

    Raises
    ------
    TypeError for an argument of a wrong kind, ValueError for a wrong value or shape, as quantize does.
    """
    cdef readonly object saturate

    def __cinit__(self, scale, zero_point=0, *, dtype=None, axis=None, block_size=None, packed=False, offset=None,
                  saturate=True):
        codes, checked = general("fixed", (scale, zero_point, offset, axis, block_size, dtype, packed, saturate))
        self.dtype, self.packed, self.saturate = codes.dtype, flag(packed, "packed"), flag(saturate, "saturate")
        self.code = codes.row
        self.hold(checked)

    def __call__(self, x, out=None):
        result = self.run(FQ_quantize, x, real_of_array(x), self.code, self.packed is True, self.saturate is False, out)
        if result is not NotImplemented:
            return result
        return general("quantize", (x, self.scale, self.zero_point, self.dtype, self.axis, self.block_size, self.packed,
                                    self.offset, self.saturate, out))

    def __reduce__(self):
        return _quantizer, (type(self), self.scale, self.zero_point, self.dtype, self.axis, self.block_size, self.packed,
                            self.offset, self.saturate)

    def __repr__(self):
        return self.described([("packed", self.packed or None), ("saturate", None if self.saturate else False)])


def _quantizer(kind, scale, zero_point, dtype, axis, block_size, packed, offset, saturate):
    return kind(scale, zero_point, dtype=dtype, axis=axis, block_size=block_size, packed=packed, offset=offset,
                saturate=saturate)


@cython.final
cdef class Dequantizer(_Fixed):
    """Dequantizer(scale, zero_point=0, *, dtype='float32', axis=None, block_size=None, packed=None, offset=None)
--

    fq.dequantize with parameters that are checked once: Dequantizer(scale, zero_point)(q) is dequantize(q, scale,
    zero_point).

    An instance does not change and may be called from several threads at once. It can be pickled, and holds copies of its
    parameters.

    Parameters
    ----------
    scale, zero_point, dtype, axis, block_size, packed, offset : as for dequantize; attributes of the same names

    dequantizer(q, out=None)
    ------------------------
    q, out : as for dequantize; codes of any type, but for packed ones

    Returns
    -------
    what dequantize returns

    Raises
    ------
    TypeError for an argument of a wrong kind, ValueError for a wrong value or shape, as dequantize does.
    """
    cdef int real

    def __cinit__(self, scale, zero_point=0, *, dtype="float32", axis=None, block_size=None, packed=None, offset=None):
        self.dtype, codes, checked = general("fixed_back", (scale, zero_point, offset, axis, block_size, dtype, packed))
        self.packed = None if codes is None else codes.name
        self.code = -1 if codes is None else codes.row
        self.real = read_real(self.dtype)
        self.hold(checked)

    def __call__(self, q, out=None):
        cdef bint packed = self.packed is not None
        cdef int code = self.code if packed else code_of_array(q)
        # Zero points and float codes do not go together; which codes there are is known only now.
        if code < 0 or self.zero_point_is_none(code):
            result = self.run(FQ_dequantize, q, self.real, code, packed, False, out)
            if result is not NotImplemented:
                return result
        return general("dequantize", (q, self.scale, self.zero_point, self.dtype, self.axis, self.block_size, self.packed,
                                      self.offset, out))

    cdef bint zero_point_is_none(self, int code):
        """A single zero point, which nothing else looks at again, is 0 or that of integers."""
        return not fq_code_types[code].is_float or not self.single or self.plain.zero_point == 0

    def __reduce__(self):
        return _dequantizer, (type(self), self.scale, self.zero_point, self.dtype, self.axis, self.block_size, self.packed,
                              self.offset)

    def __repr__(self):
        return self.described([("packed", self.packed)])


def _dequantizer(kind, scale, zero_point, dtype, axis, block_size, packed, offset):
    return kind(scale, zero_point, dtype=dtype, axis=axis, block_size=block_size, packed=packed, offset=offset)
