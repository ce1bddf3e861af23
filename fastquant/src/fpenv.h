/* The same result whatever else runs in the process. A library built with -ffast-math, or a call such as
 * torch.set_flush_denormal or fesetround, leaves a thread with subnormals flushed to zero or another rounding mode;
 * kernels would then give other codes. Each entry point reads the control register (a few cycles), sets the IEEE
 * defaults if they are not in force, and puts back what it found. */
#ifndef FQ_FPENV_H
#define FQ_FPENV_H

#include <stdint.h>

typedef struct fq_fpenv {
    uint64_t found;
    int changed;
} fq_fpenv;

#if defined(__SSE2__) || defined(_M_X64) || (defined(_M_IX86_FP) && _M_IX86_FP >= 2)
#include <xmmintrin.h>
/* Not the six sticky flags: all exceptions masked, nearest even, no flush to zero, no subnormals-are-zero. */
#define FQ_FP_CONTROL 0xFFC0u
#define FQ_FP_DEFAULT 0x1F80u
static inline uint64_t fq_fp_read(void) { return _mm_getcsr(); }
static inline void fq_fp_write(uint64_t v) { _mm_setcsr((unsigned)v); }
#elif defined(__aarch64__)
/* AH, FIZ, NEP; trap enables, FZ16, rounding mode, FZ, default NaN (which loses the sign that a NaN's code keeps),
 * alternative half precision. */
#define FQ_FP_CONTROL 0x07C89F07u
#define FQ_FP_DEFAULT 0u
static inline uint64_t fq_fp_read(void) { uint64_t v; __asm__ volatile("mrs %0, fpcr" : "=r"(v)); return v; }
static inline void fq_fp_write(uint64_t v) { __asm__ volatile("msr fpcr, %0" : : "r"(v)); }
#elif defined(_M_ARM64)
#include <intrin.h>
#define FQ_FP_CONTROL 0x07C89F07u
#define FQ_FP_DEFAULT 0u
static inline uint64_t fq_fp_read(void) { return (uint64_t)_ReadStatusReg(ARM64_FPCR); }
static inline void fq_fp_write(uint64_t v) { _WriteStatusReg(ARM64_FPCR, (int64_t)v); }
#else
/* Other CPUs: the rounding mode, which is what C knows of. */
#include <fenv.h>
#define FQ_FP_CONTROL 0xFFFFFFFFu
#define FQ_FP_DEFAULT ((uint32_t)FE_TONEAREST)
static inline uint64_t fq_fp_read(void) { return (uint32_t)fegetround(); }
static inline void fq_fp_write(uint64_t v) { (void)fesetround((int)(uint32_t)v); }
#endif

/* Compilers do not know that arithmetic depends on the register. What is read from and written to memory, at least, stays
 * on its side of this. */
#if defined(_MSC_VER)
#include <intrin.h>
#define FQ_FP_FENCE() _ReadWriteBarrier()
#else
#define FQ_FP_FENCE() __asm__ volatile("" : : : "memory")
#endif

static inline fq_fpenv fq_fpenv_enter(void)
{
    fq_fpenv env;
    env.found = fq_fp_read();
    env.changed = (env.found & FQ_FP_CONTROL) != FQ_FP_DEFAULT;
    if (env.changed)
        fq_fp_write((env.found & ~(uint64_t)FQ_FP_CONTROL) | FQ_FP_DEFAULT);
    FQ_FP_FENCE();
    return env;
}

static inline void fq_fpenv_leave(fq_fpenv env)
{
    FQ_FP_FENCE();
    if (env.changed)
        fq_fp_write(env.found);
}

#endif
