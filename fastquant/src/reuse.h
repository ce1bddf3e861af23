/* Memory of large results, which is used again.
 *
 * The system gives memory out in pages of zeros, and takes longer to make them than a kernel takes to fill them: a result
 * of 256 MiB costs three times as much in fresh memory as in memory that was written before (and more than ten times if
 * the pages are small). So what a large result leaves when it is freed is kept for the next one of about its size: a few
 * pieces, bounded in all by fq_keep, each marked as free (MADV_FREE), so that the system takes the pages back as soon as
 * it needs any; address space it takes back when the next piece does not fit. Where there is no such mark nothing is kept,
 * and FQ_REUSES is 0.
 *
 * The four functions are those of a PyDataMem_Handler of NumPy's, and safe in any thread. */
#ifndef FQ_REUSE_H
#define FQ_REUSE_H

#include <stddef.h>

#if !defined(_WIN32)
#include <sys/mman.h>
#endif
#if defined(MADV_FREE)
#define FQ_REUSES 1
#else
#define FQ_REUSES 0
#endif

void *fq_reuse_malloc(void *context, size_t bytes);
void *fq_reuse_calloc(void *context, size_t count, size_t size);
void *fq_reuse_realloc(void *context, void *data, size_t bytes);
void fq_reuse_free(void *context, void *data, size_t bytes);

/* Keep at most so many bytes from now on, 0 for nothing, in pieces of at least `smallest`; and how many are kept. */
void fq_keep(size_t bytes, size_t smallest);
size_t fq_kept(void);
int fq_keeps(size_t bytes);  /* whether so much would be */

#endif
