/* Looking at torch tensors through their public attributes, without the headers of torch. */
#ifndef EQUIPOISE_LOOK_H
#define EQUIPOISE_LOOK_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "statistics.h"

enum { AXES = 8 };

/* What is looked up once. */
typedef struct {
    PyObject *tensor_type, *parameter_type, *dtypes[KINDS], *grad_enabled;
    PyObject *data_ptr, *shape, *stride, *dtype, *is_cpu, *is_contiguous, *grad, *requires_grad,
        *training, *param_groups, *lr; /* names */
    const Statistics *statistics;
} Torch;

extern Torch torch;

/* Look up what is needed of the module `torch`; -1 with an exception when it lacks something. */
int torch_known(PyObject *module);

/* A tensor as it lies in memory. */
typedef struct {
    char *values;
    Kind kind;
    int axes, contiguous;
    int64_t count, sizes[AXES], strides[AXES];
} Look;

/* Fill `look`; 0 when the tensor is one that the statistics can read, -1 (never with an exception) when not. */
int look_at(PyObject *tensor, Look *look);

/* As outer x units x inner with the units along `axis` (all one unit below 0); -1 when its memory has gaps. */
int arranged(const Look *look, int axis, Tensor *tensor);

/* Whether its values fill their memory without gaps, in whatever order. */
int dense(const Look *look);

/* The address of the first value; NULL (never with an exception) when there is none. */
char *address(PyObject *tensor);

#endif
