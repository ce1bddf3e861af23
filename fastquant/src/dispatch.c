/* The targets, what the CPU can run, and the merged span tables. */
#include <string.h>

#include "spans.h"
#include "target.h"

#define INTEGER_TYPE(id, name, type, bits, lowest, highest) {name, lowest, highest, sizeof(type), bits, 0},
#define FLOAT_CODE_TYPE(id, name, bits, mantissa, bias, largest, nan, beyond, signed_zero) {name, 0, 0, 1, bits, 1},
const fq_code_type fq_code_types[FQ_CODE_COUNT] = {
    FQ_INTEGERS(INTEGER_TYPE) FQ_FLOATS(FLOAT_CODE_TYPE) {"int32", INT32_MIN, INT32_MAX, 4, 32, 0}};

#define OP_NAME(op) #op,
const char *const fq_op_names[FQ_OP_COUNT] = {FQ_OPS(OP_NAME)};

#define RULE_NAME(rule) #rule,
const char *const fq_rule_names[FQ_RULE_COUNT] = {FQ_RULES(RULE_NAME)};

#define REAL_TYPE(id, name, type, arithmetic) {name, sizeof(type), sizeof(arithmetic) == sizeof(double)},
const fq_real_type fq_real_types[FQ_REAL_COUNT] = {FQ_REALS(REAL_TYPE)};

fq_span_table fq_portable_spans;

#define TEXT(number) #number
#define TEXT_OF(number) TEXT(number)
#if defined(__clang__)
const char fq_compiler[] = "clang " __clang_version__;
#elif defined(__GNUC__)
const char fq_compiler[] = "gcc " __VERSION__;
#elif defined(_MSC_VER)
const char fq_compiler[] = "MSVC " TEXT_OF(_MSC_VER);
#else
const char fq_compiler[] = "";
#endif

static int runs_everywhere(void)
{
    return 1;
}

#if FQ_HAVE_AVX2
#if defined(_MSC_VER)
#include <intrin.h>
static void cpuid(unsigned leaf, unsigned r[4]) { __cpuidex((int *)r, (int)leaf, 0); }
static unsigned long long xcr0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(unsigned leaf, unsigned r[4])
{
    if (!__get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]))
        memset(r, 0, 4 * sizeof *r);
}
static unsigned long long xcr0(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (unsigned long long)high << 32 | low;
}
#endif

#define BIT(word, n) ((word) >> (n) & 1)

/* The CPU has the instructions, and the operating system saves the wide registers (Intel SDM, volume 1, 14.3). */
static int runs_avx2(void)
{
    unsigned features[4], more[4];
    cpuid(1, features);
    if (!(BIT(features[2], 27) && BIT(features[2], 28)))  /* OSXSAVE, AVX */
        return 0;
    if (!(BIT(features[2], 12) && BIT(features[2], 29)))  /* FMA, F16C */
        return 0;
    if ((xcr0() & 6) != 6)
        return 0;
    cpuid(7, more);
    return (int)BIT(more[1], 5);
}

extern const fq_span_table fq_avx2_spans;
extern fq_bare_loop fq_avx2_bare;
#endif

#if FQ_HAVE_AVX512
/* F, BW, DQ and VL beside AVX2; the operating system saves the mask registers and all of the 32 wide ones too. */
static int runs_avx512(void)
{
#if !defined(FQ_SIMDE)
    const unsigned wanted = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    unsigned more[4];
    if (!runs_avx2() || (xcr0() & 0xE6) != 0xE6)
        return 0;
    cpuid(7, more);
    return (more[1] & wanted) == wanted;
#else
    return 1;
#endif
}

extern const fq_span_table fq_avx512_spans;
extern fq_bare_loop fq_avx512_bare;
#endif

#if FQ_HAVE_NEON
extern const fq_span_table fq_neon_spans;
extern fq_bare_loop fq_neon_bare;
#endif

static const fq_target targets[] = {
    {"portable", runs_everywhere, &fq_portable_spans, fq_portable_bare},
#if FQ_HAVE_AVX2
    {"avx2", runs_avx2, &fq_avx2_spans, fq_avx2_bare},
#endif
#if FQ_HAVE_AVX512
    {"avx512", runs_avx512, &fq_avx512_spans, fq_avx512_bare},
#endif
#if FQ_HAVE_NEON
    {"neon", runs_everywhere, &fq_neon_spans, fq_neon_bare},
#endif
};

#define TARGETS ((int)(sizeof targets / sizeof *targets))

static fq_span_table merged[TARGETS];

int fq_target_count(void) { return TARGETS; }
const char *fq_target_name(int target) { return targets[target].name; }
int fq_target_runs_here(int target) { return targets[target].runs_here(); }

void fq_merge_tables(void)
{
    for (int t = 0; t < TARGETS; t++)
        for (int op = 0; op < FQ_OP_COUNT; op++)
            for (int real = 0; real < FQ_REAL_COUNT; real++)
                for (int code = 0; code < FQ_CODE_COUNT; code++) {
                    fq_span own = (*targets[t].spans)[op][real][code];
                    merged[t][op][real][code] = own ? own : fq_portable_spans[op][real][code];
                }
}

const fq_span_table *fq_target_table(int target) { return (const fq_span_table *)&merged[target]; }

const fq_span_table *fq_spans_in_use = (const fq_span_table *)&merged[0];

/* Relaxed here and in fq_active_table: the tables that the pointer may lead to are complete before any thread can make a
 * call, so that it orders nothing; a call reads it once for each span and may begin with either of two. */
void fq_activate(int target)
{
#if defined(__GNUC__)
    __atomic_store_n(&fq_spans_in_use, fq_target_table(target), __ATOMIC_RELAXED);
#else
    *(const fq_span_table *volatile *)&fq_spans_in_use = fq_target_table(target);
#endif
}

int fq_active_target(void)
{
    const fq_span_table *in_use = fq_active_table();
    int target = 0;
    while (fq_target_table(target) != in_use)
        target++;
    return target;
}

fq_bare fq_active_bare(void) { return targets[fq_active_target()].bare; }
