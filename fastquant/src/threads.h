/* One call on several threads: a job is cut into parts, which the caller and the workers of one pool take in turn.
 *
 * The caller takes parts like everybody else and waits only for those that workers have begun: a worker that is late, or
 * that could not be started, costs nothing but its help. Workers help only while fewer threads are at work on jobs than
 * fq_set_threads allows, callers counted; so many callers at once each run on their own thread, and no more. Workers hold
 * nothing of Python's, leave signals to other threads, and are started when they are first wanted. After a fork the child
 * has none, and starts its own. */
#ifndef FQ_THREADS_H
#define FQ_THREADS_H

typedef void (*fq_part)(void *context, int part);

/* Run parts 0 ... parts - 1, each once, and return when all are done. */
void fq_parallel(fq_part run, void *context, int parts);

/* How many threads a call may use, 1 or more. */
void fq_set_threads(int n);
int fq_threads(void);

/* Room for prepared parameters (FQ_ROOM_BYTES, spans.h), or NULL: a few are kept, since fresh pages take long. */
void *fq_borrow_room(void);
void fq_give_back_room(void *room);

#endif
