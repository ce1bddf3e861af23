/* A module of somebody else's, in C: quantizes in threads that Python does not know. */
#include <Python.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include <fastquant.h>

static const fastquant_api *fq;

typedef struct {
    fastquant_tile tile;
    int kernel, error;
} work;

static void *convert(void *argument)
{
    work *w = argument;
    w->error = fq->run(w->kernel, &w->tile, sizeof w->tile);
    return NULL;
}

/* quantize(x, scales, zero_points, q): rows of float32 to int8, each in a thread of its own; buffers. */
static PyObject *quantize(PyObject *self, PyObject *arguments)
{
    Py_buffer x, scales, zero_points, q;
    work w[64];
    pthread_t threads[64];
    Py_ssize_t rows, n;
    int error = 0;
    if (!PyArg_ParseTuple(arguments, "y*y*y*w*", &x, &scales, &zero_points, &q))
        return NULL;
    rows = scales.len / (Py_ssize_t)sizeof(float);
    n = q.len / rows;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t r = 0; r < rows; r++) {
        memset(&w[r], 0, sizeof w[r]);
        w[r].kernel = fq->kernel("quantize");
        w[r].tile.in = (const char *)x.buf + r * n * (Py_ssize_t)sizeof(float);
        w[r].tile.out = (char *)q.buf + r * n;
        w[r].tile.rows = 1;
        w[r].tile.n = n;
        w[r].tile.scales = (const float *)scales.buf + r;
        w[r].tile.zero_points = (const int32_t *)zero_points.buf + r;
        w[r].tile.real = (uint8_t)fq->real_type("float32");
        w[r].tile.code = (uint8_t)fq->code_type("int8");
        pthread_create(&threads[r], NULL, convert, &w[r]);
    }
    for (Py_ssize_t r = 0; r < rows; r++) {
        pthread_join(threads[r], NULL);
        error = error ? error : w[r].error;
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&x);
    PyBuffer_Release(&scales);
    PyBuffer_Release(&zero_points);
    PyBuffer_Release(&q);
    if (error) {
        PyErr_SetString(PyExc_ValueError, fq->message(error));
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"quantize", quantize, METH_VARARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "c_client", "", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_c_client(void)
{
    fq = fastquant_import();
    return fq == NULL ? NULL : PyModule_Create(&module);
}
