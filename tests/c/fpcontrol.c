/* Reads and sets the control register of floating-point arithmetic, for test_environment.py. */
#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#if defined(__SSE2__) || defined(_M_X64)

#include <xmmintrin.h>
EXPORT unsigned long long fp_get(void) { return _mm_getcsr(); }
EXPORT void fp_set(unsigned long long v) { _mm_setcsr((unsigned)v); }

#elif defined(__aarch64__)

EXPORT unsigned long long fp_get(void)
{
    unsigned long long v;
    __asm__ volatile("mrs %0, fpcr" : "=r"(v));
    return v;
}
EXPORT void fp_set(unsigned long long v) { __asm__ volatile("msr fpcr, %0" : : "r"(v)); }

#else
#error "no such register known here"
#endif
