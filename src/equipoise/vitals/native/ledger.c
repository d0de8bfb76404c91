/* Ledger: the parameters of one network, and what is remembered of the step before to compare them with. */
#include "ledger.h"

#include <math.h>
#include <string.h>

/* The numbers of `parameters.PARAMETER_SUMS`, in their order. */
enum { WEIGHT, BEFORE, MOVED, GRADIENT, ZEROS_OF, NON_FINITE_OF, PRODUCT, NOW, PREVIOUS, SUMS };

struct Entry {
    PyObject *parameter;  /* NULL where it cannot be read here */
    char *values;         /* where the parameter lay when it was looked at */
    Kind kind;
    int64_t count, block; /* values, and how many of them one block of the sketch has */
    int64_t blocks;       /* of the sketch; 0 when everything is compared */
    int64_t *starts;
    int contiguous;
    PyObject *strides;    /* where it is not contiguous: those that its gradient must have */
    char *weights, *gradient;  /* what was compared at the step before; NULL before the first */
    double squares, now;  /* of the weights, and of the compared gradient, at the step before */
};

static void entry_clear(Entry *entry) {
    Py_CLEAR(entry->parameter);
    Py_CLEAR(entry->strides);
    PyMem_Free(entry->starts);
    PyMem_Free(entry->weights);
    PyMem_Free(entry->gradient);
    *entry = (Entry){.squares = NAN, .now = NAN};
}

static void ledger_free(Ledger *ledger) {
    for (Py_ssize_t at = 0; at < ledger->count; at++) entry_clear(&ledger->entries[at]);
    PyMem_Free(ledger->entries);
    Py_TYPE(ledger)->tp_free((PyObject *)ledger);
}

static int64_t compared(const Entry *entry) { return entry->blocks ? entry->blocks * entry->block : entry->count; }

/* set(number, parameter, starts, block): whether this one can be read here; otherwise its row stays void. The number may
 * be that of an entry, or the next. `starts` is None, or int64 bytes. */
static PyObject *ledger_set(Ledger *ledger, PyObject *args) {
    Py_ssize_t at;
    PyObject *parameter, *starts;
    Entry entry = {.squares = NAN, .now = NAN};
    Look look;
    if (!PyArg_ParseTuple(args, "nOOL", &at, &parameter, &starts, &entry.block)) return NULL;
    if (at < 0 || at > ledger->count) return PyErr_SetString(PyExc_IndexError, "no such entry"), NULL;
    const int readable = !look_at(parameter, &look) && dense(&look);
    if (readable) {
        entry.kind = look.kind, entry.count = look.count, entry.contiguous = look.contiguous, entry.values = look.values;
        entry.parameter = Py_NewRef(parameter);
        if (!look.contiguous) entry.strides = PyObject_CallMethodNoArgs(parameter, torch.stride);
    }
    if (readable && starts != Py_None) {
        char *bytes;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(starts, &bytes, &length)) return entry_clear(&entry), NULL;
        entry.blocks = length / (Py_ssize_t)sizeof(int64_t);
        if (!(entry.starts = PyMem_Malloc((size_t)length))) return entry_clear(&entry), PyErr_NoMemory();
        memcpy(entry.starts, bytes, (size_t)length);
    }
    if (at == ledger->count) {
        Entry *entries = PyMem_Realloc(ledger->entries, (size_t)(at + 1) * sizeof(Entry));
        if (!entries) return entry_clear(&entry), PyErr_NoMemory();
        ledger->entries = entries;
        ledger->count++;
    } else {
        entry_clear(&ledger->entries[at]);
    }
    ledger->entries[at] = entry;
    return PyBool_FromLong(readable);
}

/* Whether a tensor lies in memory as the parameter did when it was added. Never leaves an exception. */
static int fits(const Entry *entry, PyObject *tensor) {
    PyObject *dtype = PyObject_GetAttr(tensor, torch.dtype);
    int fit = dtype == torch.dtypes[entry->kind];
    Py_XDECREF(dtype);
    if (fit && entry->contiguous) {
        PyObject *found = PyObject_CallMethodNoArgs(tensor, torch.is_contiguous);
        fit = found == Py_True;
        Py_XDECREF(found);
    } else if (fit) {
        PyObject *found = PyObject_CallMethodNoArgs(tensor, torch.stride);
        fit = found && PyObject_RichCompareBool(found, entry->strides, Py_EQ) == 1;
        Py_XDECREF(found);
    }
    PyErr_Clear();
    return fit;
}

/* The address of the parameter; NULL when it is no longer as it was added. */
static char *weights_at(Entry *entry) {
    char *values = address(entry->parameter);
    if (values && values != entry->values) {
        Look look;
        if (look_at(entry->parameter, &look) || look.count != entry->count || !fits(entry, entry->parameter)) return NULL;
        entry->values = values;
    }
    return values;
}

/* The gradient of the parameter, a new reference; NULL when it has none. Never leaves an exception. */
static PyObject *gradient_of(const Entry *entry) {
    PyObject *gradient = PyObject_GetAttr(entry->parameter, torch.grad);
    PyErr_Clear();
    if (gradient == Py_None) Py_CLEAR(gradient);
    return gradient;
}

static int trainable(const Entry *entry) {
    PyObject *found = PyObject_GetAttr(entry->parameter, torch.requires_grad);
    const int yes = found == Py_True;
    Py_XDECREF(found);
    PyErr_Clear();
    return yes;
}

/* Room for what is compared; 1 when it was there before, 0 when it is new, -1 without memory. */
static int remembered(char **memory, const Entry *entry) {
    if (*memory) return 1;
    *memory = PyMem_Calloc((size_t)compared(entry) + 1, (size_t)WIDTH[entry->kind]);
    return *memory ? 0 : -1;
}

static int measure_weights(Entry *entry, double *to) {
    const char *values = weights_at(entry);
    if (!values && entry->count) return 1;
    WeightSums whole = {0}, part = {0};
    const int known = remembered(&entry->weights, entry);
    if (known < 0) return -1;
    torch.statistics->weights(values, entry->blocks ? NULL : entry->weights, entry->count, entry->kind, &whole);
    const int width = WIDTH[entry->kind];
    for (int64_t at = 0; at < entry->blocks; at++)
        torch.statistics->weights(values + entry->starts[at] * width, entry->weights + at * entry->block * width,
                                  entry->block, entry->kind, &part);
    to[WEIGHT] = whole.squares;
    to[BEFORE] = entry->squares;
    to[MOVED] = !known ? NAN : entry->blocks ? part.moved : whole.moved;
    entry->squares = whole.squares;
    return 0;
}

static int measure_gradient(Entry *entry, PyObject *gradient, double *to) {
    if (!fits(entry, gradient)) return 1;
    const char *values = address(gradient);
    if (!values && entry->count) return 1;
    GradientSums whole = {0}, part = {0};
    const int known = remembered(&entry->gradient, entry);
    if (known < 0) return -1;
    torch.statistics->gradients(values, entry->blocks ? NULL : entry->gradient, entry->count, entry->kind, &whole);
    const int width = WIDTH[entry->kind];
    for (int64_t at = 0; at < entry->blocks; at++)
        torch.statistics->gradients(values + entry->starts[at] * width, entry->gradient + at * entry->block * width,
                                    entry->block, entry->kind, &part);
    to[GRADIENT] = whole.squares;
    to[ZEROS_OF] = whole.zeros;
    to[NON_FINITE_OF] = whole.non_finite;
    to[PRODUCT] = !known ? NAN : entry->blocks ? part.product : whole.product;
    to[NOW] = entry->blocks ? part.squares : whole.squares;
    to[PREVIOUS] = entry->now;
    entry->now = to[NOW];
    return 0;
}

PyObject *ledger_measure(Ledger *ledger, PyObject *array, Py_ssize_t row, int weights, int gradients) {
    Py_buffer rows;
    PyObject *failed = NULL;
    if (PyObject_GetBuffer(array, &rows, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) return NULL;
    double *to = (double *)rows.buf + row * ledger->count * SUMS;
    const Py_ssize_t end = (row + 1) * ledger->count * SUMS * (Py_ssize_t)sizeof(double);
    int trouble = row < 0 || rows.len < end ? -1 : 0;
    for (Py_ssize_t at = 0; at < ledger->count && trouble >= 0; at++, to += SUMS) {
        Entry *entry = &ledger->entries[at];
        if (!entry->parameter) continue;
        PyObject *gradient = gradient_of(entry);
        if (gradients && gradient) trouble = measure_gradient(entry, gradient, to);
        if (gradients && !gradient) entry->now = NAN, PyMem_Free(entry->gradient), entry->gradient = NULL;
        /* What is frozen and without gradient stands still. */
        if (weights && !trouble && (gradient || !entry->weights || trainable(entry))) trouble = measure_weights(entry, to);
        else if (weights && !trouble) to[WEIGHT] = entry->squares;
        Py_XDECREF(gradient);
        if (trouble > 0) {
            PyObject *number = PyLong_FromSsize_t(at);
            if (!failed) failed = PyList_New(0);
            if (!failed || !number || PyList_Append(failed, number)) trouble = -1;
            Py_XDECREF(number);
            trouble = trouble < 0 ? -1 : 0;
            entry_clear(entry);
        }
    }
    PyBuffer_Release(&rows);
    if (trouble < 0) {
        Py_XDECREF(failed);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    if (failed) return failed;
    Py_RETURN_NONE;
}

/* measure(rows, row, weights, gradients): see `ledger_measure`. */
static PyObject *measure(Ledger *ledger, PyObject *args) {
    PyObject *rows;
    Py_ssize_t row;
    int weights, gradients;
    if (!PyArg_ParseTuple(args, "Onpp", &rows, &row, &weights, &gradients)) return NULL;
    return ledger_measure(ledger, rows, row, weights, gradients);
}

int ledger_uncleared(const Ledger *ledger, PyObject *numbers) {
    if (!PyTuple_Check(numbers)) return PyErr_SetString(PyExc_TypeError, "uncleared takes a tuple"), -1;
    int found = 0;
    for (Py_ssize_t one = 0; one < PyTuple_GET_SIZE(numbers) && !found; one++) {
        const Py_ssize_t at = PyLong_AsSsize_t(PyTuple_GET_ITEM(numbers, one));
        if (at < 0 || at >= ledger->count) return PyErr_SetString(PyExc_IndexError, "no such entry"), -1;
        const Entry *entry = &ledger->entries[at];
        PyObject *gradient = entry->parameter ? gradient_of(entry) : NULL;
        if (!gradient) continue;
        const char *values = address(gradient);
        found = !values || !fits(entry, gradient) || torch.statistics->any(values, entry->count, entry->kind);
        Py_DECREF(gradient);
    }
    return found;
}

/* uncleared(numbers): see `ledger_uncleared`. */
static PyObject *uncleared(Ledger *ledger, PyObject *numbers) {
    const int found = ledger_uncleared(ledger, numbers);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

static PyMethodDef METHODS[] = {
    {"set", (PyCFunction)ledger_set, METH_VARARGS, "set(number, parameter, starts, block): whether it can be read."},
    {"measure", (PyCFunction)measure, METH_VARARGS, "measure(rows, row, weights, gradients): fill a row."},
    {"uncleared", (PyCFunction)uncleared, METH_O, "uncleared(numbers): whether any gradient is not zero."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject LedgerType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "equipoise.vitals._kernel.Ledger",
    .tp_basicsize = sizeof(Ledger),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "The parameters of one network, and what is remembered of the step before.",
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)ledger_free,
    .tp_methods = METHODS,
};

int ledger_ready(void) { return PyType_Ready(&LedgerType); }
