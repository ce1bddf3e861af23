/* The bare loop of CPUs of which nothing is known: over pairs of words, which compilers make vectors of where there are
 * any. */
#include <stdint.h>
#include <string.h>

#include "spans.h"
#include "target.h"

#define STREAM_BYTES 1

typedef struct { uint64_t a, b; } vb;

LANE vb vb_load(const void *p)
{
    vb v;
    memcpy(&v, p, sizeof v);
    return v;
}

LANE void vb_store(void *p, vb v, int stream)
{
    (void)stream;
    memcpy(p, &v, sizeof v);
}

LANE void v_prefetch(const void *p) { (void)p; }

LANE vb vb_or(vb v, vb w)
{
    v.a |= w.a;
    v.b |= w.b;
    return v;
}

#define TARGET_BARE fq_portable_bare
#include "bare.inc.h"
