#include "look.h"

Torch torch;

static PyObject *name(const char *text) { return PyUnicode_InternFromString(text); }

int torch_known(PyObject *module) {
    static const char *const DTYPES[KINDS] = {"float32", "bfloat16", "float16"};
    PyObject *nn = PyObject_GetAttrString(module, "nn");
    if (!nn) return -1;
    torch.tensor_type = PyObject_GetAttrString(module, "Tensor");
    torch.parameter_type = PyObject_GetAttrString(nn, "Parameter");
    torch.grad_enabled = PyObject_GetAttrString(module, "is_grad_enabled");
    Py_DECREF(nn);
    for (int kind = 0; kind < KINDS; kind++)
        if (!(torch.dtypes[kind] = PyObject_GetAttrString(module, DTYPES[kind]))) return -1;
    torch.data_ptr = name("data_ptr"), torch.shape = name("shape"), torch.stride = name("stride");
    torch.dtype = name("dtype"), torch.is_cpu = name("is_cpu"), torch.is_contiguous = name("is_contiguous");
    torch.grad = name("grad"), torch.requires_grad = name("requires_grad");
    torch.training = name("training"), torch.param_groups = name("param_groups"), torch.lr = name("lr");
    return torch.tensor_type && torch.parameter_type && torch.grad_enabled ? 0 : -1;
}

/* Whether an attribute or the result of a method without arguments is True. */
static int holds(PyObject *value) {
    const int found = value == Py_True;
    Py_XDECREF(value);
    if (!value) PyErr_Clear();
    return found;
}

static int numbers(PyObject *tuple, int64_t *to) {
    int found = -1;
    if (tuple && PyTuple_Check(tuple) && PyTuple_GET_SIZE(tuple) <= AXES) {
        found = (int)PyTuple_GET_SIZE(tuple);
        for (int at = 0; at < found; at++) to[at] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, at));
    }
    Py_XDECREF(tuple);
    if (PyErr_Occurred()) PyErr_Clear(), found = -1;
    return found;
}

char *address(PyObject *tensor) {
    PyObject *number = PyObject_CallMethodNoArgs(tensor, torch.data_ptr);
    char *found = number ? PyLong_AsVoidPtr(number) : NULL;
    Py_XDECREF(number);
    if (PyErr_Occurred()) PyErr_Clear(), found = NULL;
    return found;
}

int look_at(PyObject *tensor, Look *look) {
    PyObject *type = (PyObject *)Py_TYPE(tensor);
    if (type != torch.tensor_type && type != torch.parameter_type) return -1; /* a subclass may be anything */
    PyObject *dtype = PyObject_GetAttr(tensor, torch.dtype);
    int kind = 0;
    while (kind < KINDS && torch.dtypes[kind] != dtype) kind++;
    Py_XDECREF(dtype);
    PyErr_Clear();
    if (kind == KINDS || !holds(PyObject_GetAttr(tensor, torch.is_cpu))) return -1;
    look->kind = (Kind)kind;
    look->axes = numbers(PyObject_GetAttr(tensor, torch.shape), look->sizes);
    if (look->axes < 0) return -1;
    look->contiguous = holds(PyObject_CallMethodNoArgs(tensor, torch.is_contiguous));
    look->count = 1;
    for (int at = look->axes - 1; at >= 0; at--) {
        look->strides[at] = look->count; /* right where it is contiguous */
        look->count *= look->sizes[at];
    }
    if (!look->contiguous && numbers(PyObject_CallMethodNoArgs(tensor, torch.stride), look->strides) != look->axes) return -1;
    look->values = address(tensor);
    return look->values || !look->count ? 0 : -1;
}

int arranged(const Look *look, int axis, Tensor *tensor) {
    tensor->values = look->values;
    tensor->kind = look->kind;
    tensor->outer = tensor->inner = 1;
    tensor->units = axis < 0 ? 1 : look->sizes[axis];
    if (look->contiguous) {
        for (int at = 0; at < axis; at++) tensor->outer *= look->sizes[at];
        for (int at = axis + 1; at < look->axes; at++) tensor->inner *= look->sizes[at];
        return 0;
    }
    if (axis < 0 || !tensor->units) return -1;
    if (look->sizes[axis] != 1 && look->strides[axis] != 1) return -1;
    int64_t expected = tensor->units; /* channels last: the other axes in their order, each step as long as a row */
    for (int at = look->axes - 1; at >= 0; at--) {
        if (at == axis || look->sizes[at] == 1) continue;
        if (look->strides[at] != expected) return -1;
        expected *= look->sizes[at];
    }
    tensor->outer = look->count / tensor->units;
    return 0;
}

int dense(const Look *look) {
    if (look->contiguous) return 1;
    int64_t expected = 1;
    for (int taken = 0; taken < look->axes; taken++) {
        int next = -1;
        for (int at = 0; at < look->axes; at++)
            if (look->sizes[at] != 1 && look->strides[at] == expected) next = at;
        if (next < 0) break;
        expected *= look->sizes[next];
    }
    return expected == look->count;
}
