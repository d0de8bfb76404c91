/* The extension module equipoise.fit._steps. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "chain.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    PyObject_HEAD
    Chain chain;
    const Steps *steps;
    int busy;
} ChainObject;

/* The fastest steps that this processor can run, or those asked for by name. */
static const Steps *chosen(const char *wanted) {
#if defined(EQUIPOISE_AVX2)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && strcmp(wanted, "baseline")) return &steps_avx2;
#endif
    (void)wanted;
    return &steps_baseline;
}

static void chain_free(ChainObject *self) {
    Chain *chain = &self->chain;
    for (int64_t k = 0; chain->layers && k < chain->depth; k++) free((void *)chain->layers[k].input);
    free(chain->layers);
    free(chain->parameters);
    free(chain->slope[0]);
    free(chain->slope[1]);
    free((void *)chain->lines);
    free(chain->unit_sums);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

#define ADDRESS(type, number) ((type)(uintptr_t)(number))

static int read_layer(Chain *chain, int64_t k, PyObject *tuple) {
    Layer *layer = chain->layers + k;
    unsigned long long result, mean, variance, counted, normal, inverse;
    long long in, out, weight, bias;
    if (!PyArg_ParseTuple(tuple, "iiLLddLLKKKKKK", &layer->kind, &layer->function, &in, &out, &layer->value,
                          &layer->momentum, &weight, &bias, &result, &mean, &variance, &counted, &normal, &inverse))
        return -1;
    layer->in = in, layer->out = out, layer->weight = weight, layer->bias = bias;
    layer->result = ADDRESS(float *, result);
    layer->mean = ADDRESS(float *, mean), layer->variance = ADDRESS(float *, variance);
    layer->counted = ADDRESS(int64_t *, counted);
    layer->normal = ADDRESS(float *, normal), layer->inverse = ADDRESS(float *, inverse);
    layer->input = calloc(chain->largest_batch, sizeof *layer->input);
    const int64_t widest = in > out ? in : out;
    if (widest > chain->widest) chain->widest = widest;
    return layer->input ? 0 : (PyErr_NoMemory(), -1);
}

static int read_parameter(Chain *chain, int64_t k, PyObject *tuple) {
    Parameter *one = chain->parameters + k;
    long long count;
    unsigned long long gradient;
    if (!PyArg_ParseTuple(tuple, "LdpK", &count, &one->decay, &one->penalised, &gradient)) return -1;
    one->count = count, one->gradient = ADDRESS(float *, gradient);
    return 0;
}

static int read_all(Chain *chain, PyObject *layers, PyObject *parameters) {
    chain->depth = PyTuple_GET_SIZE(layers), chain->parameter_count = PyTuple_GET_SIZE(parameters);
    chain->layers = calloc(chain->depth, sizeof *chain->layers);
    chain->parameters = calloc(chain->parameter_count + 1, sizeof *chain->parameters);
    if (!chain->layers || !chain->parameters) return PyErr_NoMemory(), -1;
    for (int64_t k = 0; k < chain->depth; k++)
        if (read_layer(chain, k, PyTuple_GET_ITEM(layers, k))) return -1;
    for (int64_t k = 0; k < chain->parameter_count; k++)
        if (read_parameter(chain, k, PyTuple_GET_ITEM(parameters, k))) return -1;
    for (int side = 0; side < 2; side++)
        if (!(chain->slope[side] = calloc(chain->largest_batch * chain->widest, sizeof(float)))) return PyErr_NoMemory(), -1;
    if (!(chain->unit_sums = calloc(UNIT_SUMS * chain->widest, sizeof(double)))) return PyErr_NoMemory(), -1;
    if (!(chain->lines = calloc(chain->widest, sizeof *chain->lines))) return PyErr_NoMemory(), -1;
    return 0;
}

static PyObject *chain_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    (void)named;
    PyObject *layers, *parameters;
    long long largest_batch, columns;
    unsigned long long weights;
    const char *wanted;
    ChainObject *self = (ChainObject *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    Chain *chain = &self->chain;
    Loss *loss = &chain->loss;
    Rules *rules = &chain->rules;
    if (!PyArg_ParseTuple(args, "sLO!O!(iddKLp)(idddddddid)", &wanted, &largest_batch, &PyTuple_Type, &layers, &PyTuple_Type,
                          &parameters, &loss->kind, &loss->smoothing, &loss->delta, &weights, &columns, &loss->indexed,
                          &rules->kind, &rules->momentum, &rules->beta1, &rules->beta2, &rules->epsilon, &rules->l1,
                          &rules->l2, &rules->largest_norm, &rules->averaging, &rules->averaging_decay))
        return Py_DECREF(self), NULL;
    loss->weights = ADDRESS(const float *, weights), loss->weight_columns = columns;
    chain->largest_batch = largest_batch;
    self->steps = chosen(wanted);
#if defined(EQUIPOISE_AVX2)
    chain->statistics = self->steps == &steps_avx2 ? &statistics_avx2 : &statistics_baseline;
#else
    chain->statistics = &statistics_baseline;
#endif
    return read_all(chain, layers, parameters) ? (Py_DECREF(self), NULL) : (PyObject *)self;
}

/* Values, first and second moments, and averages of all parameters: four addresses each. */
static int point(Chain *chain, const Py_buffer *addresses) {
    if (addresses->len != (Py_ssize_t)(4 * chain->parameter_count * sizeof(int64_t))) {
        PyErr_Format(PyExc_ValueError, "got %zd bytes of addresses; expected four addresses for each of %lld parameters",
                     addresses->len, (long long)chain->parameter_count);
        return -1;
    }
    const int64_t *at = addresses->buf;
    for (int64_t k = 0; k < chain->parameter_count; k++, at += 4) {
        Parameter *one = chain->parameters + k;
        one->value = ADDRESS(float *, at[0]), one->first = ADDRESS(float *, at[1]);
        one->second = ADDRESS(float *, at[2]), one->average = ADDRESS(float *, at[3]);
    }
    return 0;
}

static int take_masks(Chain *chain, PyObject *masks) {
    Py_ssize_t taken = 0;
    for (int64_t k = 0; k < chain->depth; k++) {
        if (chain->layers[k].kind != DROPOUT) continue;
        if (taken == PyTuple_GET_SIZE(masks)) return PyErr_SetString(PyExc_ValueError, "got fewer masks than dropouts"), -1;
        chain->layers[k].mask = ADDRESS(const float *, PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(masks, taken++)));
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* A null pointer or a batch that is too large would be written through: refuse it. */
static int allowed(const Chain *chain, const Work *work) {
    for (int64_t k = 0; k < work->batches; k++)
        if (work->sizes[k] < 1 || work->sizes[k] > chain->largest_batch) return 0;
    for (int64_t k = 0; !work->only_gradients && k < chain->parameter_count; k++) {
        const Parameter *one = chain->parameters + k;
        const int kind = chain->rules.kind;
        if (one->gradient && ((kind != DESCENT && !one->first) || (kind == ADAM && !one->second))) return 0;
    }
    return 1;
}

static PyObject *chain_train(ChainObject *self, PyObject *args) {
    Py_buffer addresses;
    unsigned long long features, targets, order, sizes, shares, finishes, rates, losses, norms, signs, moves, units;
    long long batches, step, moved, averaged, every;
    int only_gradients;
    PyObject *masks;
    if (!PyArg_ParseTuple(args, "y*O!KKKKKKKKKLLLLLpKKK", &addresses, &PyTuple_Type, &masks, &features, &targets, &order,
                          &sizes, &shares, &finishes, &rates, &losses, &norms, &batches, &step, &moved, &averaged, &every,
                          &only_gradients, &signs, &moves, &units))
        return NULL;
    const Work work = {
        .features = ADDRESS(const float *, features), .targets = ADDRESS(const void *, targets),
        .order = ADDRESS(const int64_t *, order), .sizes = ADDRESS(const int64_t *, sizes),
        .shares = ADDRESS(const double *, shares), .finishes = ADDRESS(const uint8_t *, finishes),
        .rates = ADDRESS(const double *, rates), .losses = ADDRESS(float *, losses), .norms = ADDRESS(float *, norms),
        .batches = batches, .step = step, .moved = moved, .averaged = averaged, .sample_every = every,
        .only_gradients = only_gradients, .layer_signs = ADDRESS(double *, signs),
        .parameter_signs = ADDRESS(double *, moves), .units = ADDRESS(double *, units),
    };
    const int ready = !point(&self->chain, &addresses) && !take_masks(&self->chain, masks);
    PyBuffer_Release(&addresses);
    if (!ready) return NULL;
    if (self->busy || !allowed(&self->chain, &work))
        return PyErr_SetString(PyExc_ValueError, "got a chain that is running, a batch beyond its size, or no moments"), NULL;
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    self->steps->train(&self->chain, &work);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    Py_RETURN_NONE;
}

/* watch(every, layers, parameters): of each layer (watched, mode, low, high), of each parameter two addresses. */
static PyObject *chain_watch(ChainObject *self, PyObject *args) {
    Chain *chain = &self->chain;
    long long every;
    PyObject *layers, *parameters;
    if (!PyArg_ParseTuple(args, "LO!O!", &every, &PyTuple_Type, &layers, &PyTuple_Type, &parameters)) return NULL;
    if (PyTuple_GET_SIZE(layers) != chain->depth || PyTuple_GET_SIZE(parameters) != chain->parameter_count)
        return PyErr_SetString(PyExc_ValueError, "got another number of layers or parameters than the chain has"), NULL;
    for (int64_t k = 0; k < chain->depth; k++) {
        Layer *layer = chain->layers + k;
        int mode;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(layers, k), "piff", &layer->watched, &mode, &layer->measure.low,
                              &layer->measure.high))
            return NULL;
        layer->measure.mode = mode;
    }
    for (int64_t k = 0; k < chain->parameter_count; k++) {
        Parameter *one = chain->parameters + k;
        unsigned long long before, gradient;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(parameters, k), "KK", &before, &gradient)) return NULL;
        one->before = ADDRESS(char *, before), one->gradient_before = ADDRESS(char *, gradient);
        one->gradient_squares_before = Py_NAN;
    }
    chain->watch_every = every;
    Py_RETURN_NONE;
}

/* remember(): the weights, before a step that is taken elsewhere. */
static PyObject *chain_remember(ChainObject *self, PyObject *unused) {
    (void)unused;
    self->steps->remember(&self->chain);
    Py_RETURN_NONE;
}

/* note(signs, measured): weights and gradients after it. */
static PyObject *chain_note(ChainObject *self, PyObject *args) {
    unsigned long long signs;
    int measured;
    if (!PyArg_ParseTuple(args, "Kp", &signs, &measured)) return NULL;
    self->steps->note(&self->chain, ADDRESS(double *, signs), measured);
    Py_RETURN_NONE;
}

static PyMethodDef CHAIN_METHODS[] = {
    {"watch", (PyCFunction)chain_watch, METH_VARARGS, "Measure vital signs from now on."},
    {"remember", (PyCFunction)chain_remember, METH_NOARGS, "Remember the weights before a step that is taken elsewhere."},
    {"note", (PyCFunction)chain_note, METH_VARARGS, "Measure weights and gradients after a step that was taken elsewhere."},
    {"train", (PyCFunction)chain_train, METH_VARARGS, "Take training steps, without the lock of the interpreter."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject ChainType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "equipoise.fit._steps.Chain",
    .tp_basicsize = sizeof(ChainObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A network laid out for training steps.",
    .tp_new = chain_new,
    .tp_dealloc = (destructor)chain_free,
    .tp_methods = CHAIN_METHODS,
};

static PyObject *variant(PyObject *self, PyObject *args) {
    (void)self;
    const char *wanted = "";
    return PyArg_ParseTuple(args, "|s", &wanted) ? PyUnicode_FromString(chosen(wanted)->name) : NULL;
}

static PyMethodDef METHODS[] = {
    {"variant", variant, METH_VARARGS, "variant(wanted=''): the instruction set that would be used."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "equipoise.fit._steps",
    .m_doc = "Training steps of feed-forward networks, laid out ahead.",
    .m_size = -1,
    .m_methods = METHODS,
};

PyMODINIT_FUNC PyInit__steps(void) {
    if (PyType_Ready(&ChainType)) return NULL;
    PyObject *module = PyModule_Create(&MODULE);
    if (!module) return NULL;
    if (PyModule_AddObjectRef(module, "Chain", (PyObject *)&ChainType)) return Py_DECREF(module), NULL;
    return module;
}
