/* The extension module equipoise.vitals._kernel. */
#include "board.h"
#include "ledger.h"
#include "pulse.h"

/* The fastest statistics that this processor can run, or those asked for by name. */
static const Statistics *chosen(const char *wanted) {
#if defined(EQUIPOISE_AVX2)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && strcmp(wanted, "baseline")) return &statistics_avx2;
#endif
    (void)wanted;
    return &statistics_baseline;
}

static PyObject *prepare(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *module;
    const char *wanted = "";
    if (!PyArg_ParseTuple(args, "O|s", &module, &wanted) || torch_known(module)) return NULL;
    torch.statistics = chosen(wanted);
    return PyUnicode_FromString(torch.statistics->name);
}

/* number(tensor): its only value; None where it cannot be read here. */
static PyObject *number(PyObject *self, PyObject *tensor) {
    (void)self;
    Look look;
    if (look_at(tensor, &look) || look.count != 1 || look.kind != FLOAT32) Py_RETURN_NONE;
    return PyFloat_FromDouble(*(const float *)look.values);
}

static PyMethodDef METHODS[] = {
    {"number", number, METH_O, "number(tensor): its only value, or None where it cannot be read here."},
    {"prepare", prepare, METH_VARARGS, "prepare(torch, wanted=''): look up what is needed; the name of the instruction set."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "equipoise.vitals._kernel",
    .m_doc = "Vital signs of tensors, one pass over each.",
    .m_size = -1,
    .m_methods = METHODS,
};

PyMODINIT_FUNC PyInit__kernel(void) {
    if (board_ready() || ledger_ready() || pulse_ready()) return NULL;
    PyObject *module = PyModule_Create(&MODULE);
    if (!module) return NULL;
    if (PyModule_AddObjectRef(module, "Board", (PyObject *)&BoardType) ||
        PyModule_AddObjectRef(module, "Meter", (PyObject *)&MeterType) ||
        PyModule_AddObjectRef(module, "Ledger", (PyObject *)&LedgerType) ||
        PyModule_AddObjectRef(module, "Pulse", (PyObject *)&PulseType))
        return Py_DECREF(module), NULL;
    return module;
}
