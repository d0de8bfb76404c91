/* Pulse: follows ordinary steps (one forward pass, cleared gradients, one backward pass with a finite loss, one step of
 * the optimiser) by itself, and leaves every other step to Python. */
#include "pulse.h"

#include <math.h>
#include <structmember.h>

#include "board.h"
#include "ledger.h"

enum { FIRST = 8, LOOK = 32 }; /* the first sampled steps, and every LOOKth, are looked at in Python as well */
enum { STEPS, LOSSES, KNOWN, RATES, BACKWARDS, LISTS };

typedef struct {
    PyObject_HEAD
    Board *board;
    Ledger *ledger;
    PyObject *stepper;             /* the optimiser whose steps count; NULL where Python has to see every step */
    PyObject *optimized;           /* numbers of the entries that it holds */
    PyObject *layers, *parameters; /* the arrays that are written into, a row a step */
    PyObject *lists[LISTS];        /* that grow by one a step */
    PyObject *sheet;               /* what the forward pass measured whose gradient was taken; NULL before that */
    double loss;
    long long step;
    Py_ssize_t every, window;
    char sampled, armed, running;
} Pulse;

static int pulse_visit(Pulse *pulse, visitproc visit, void *arg) {
    Py_VISIT(pulse->board);
    Py_VISIT(pulse->stepper);
    return 0;
}

static int pulse_clear(Pulse *pulse) {
    Py_CLEAR(pulse->stepper);
    return 0;
}

static void pulse_free(Pulse *pulse) {
    PyObject_GC_UnTrack(pulse);
    Py_XDECREF(pulse->board);
    Py_XDECREF(pulse->ledger);
    Py_XDECREF(pulse->stepper);
    Py_XDECREF(pulse->optimized);
    Py_XDECREF(pulse->layers);
    Py_XDECREF(pulse->parameters);
    Py_XDECREF(pulse->sheet);
    for (int one = 0; one < LISTS; one++) Py_XDECREF(pulse->lists[one]);
    Py_TYPE(pulse)->tp_free((PyObject *)pulse);
}

static PyObject *pulse_new(PyTypeObject *type, PyObject *args, PyObject *names) {
    (void)names;
    PyObject *board, *ledger;
    Py_ssize_t every, window;
    if (!PyArg_ParseTuple(args, "O!O!nn", &BoardType, &board, &LedgerType, &ledger, &every, &window)) return NULL;
    Pulse *pulse = (Pulse *)type->tp_alloc(type, 0);
    if (!pulse) return NULL;
    pulse->board = (Board *)Py_NewRef(board);
    pulse->ledger = (Ledger *)Py_NewRef(ledger);
    pulse->every = every, pulse->window = window;
    return (PyObject *)pulse;
}

/* arm(stepper, optimized, layers, parameters, lists, sampled, ordinary): what the step that comes next needs. */
static PyObject *pulse_arm(Pulse *pulse, PyObject *args) {
    PyObject *stepper, *optimized, *layers, *parameters, *lists[LISTS];
    int sampled, ordinary;
    if (!PyArg_ParseTuple(args, "OO!OO(O!O!O!O!O!)pp", &stepper, &PyTuple_Type, &optimized, &layers, &parameters, &PyList_Type,
                          &lists[STEPS], &PyList_Type, &lists[LOSSES], &PyList_Type, &lists[KNOWN], &PyList_Type,
                          &lists[RATES], &PyList_Type, &lists[BACKWARDS], &sampled, &ordinary))
        return NULL;
    Py_XSETREF(pulse->stepper, stepper == Py_None ? NULL : Py_NewRef(stepper));
    Py_XSETREF(pulse->optimized, Py_NewRef(optimized));
    Py_XSETREF(pulse->layers, Py_NewRef(layers));
    Py_XSETREF(pulse->parameters, Py_NewRef(parameters));
    for (int one = 0; one < LISTS; one++) Py_XSETREF(pulse->lists[one], Py_NewRef(lists[one]));
    Py_CLEAR(pulse->sheet);
    pulse->sampled = (char)sampled, pulse->armed = (char)(sampled && ordinary && pulse->stepper);
    Py_RETURN_NONE;
}

/* unfold(): leave the rest of this step to Python; the loss and the sheet of its backward pass, or None. */
static PyObject *pulse_unfold(Pulse *pulse, PyObject *unused) {
    (void)unused;
    PyObject *sheet = pulse->sheet;
    pulse->sheet = NULL;
    pulse->armed = 0;
    if (!sheet) Py_RETURN_NONE;
    return Py_BuildValue("(dN)", pulse->loss, sheet);
}

/* begins(roots): whether this is the backward pass of an ordinary step, which Python need not hear of. */
static PyObject *pulse_begins(Pulse *pulse, PyObject *roots) {
    const Board *board = pulse->board;
    Look look;
    if (!pulse->armed || pulse->running || pulse->sheet || board->in_backward) Py_RETURN_FALSE;
    if (!board->current || !board->plain || !board->training || board->thread != PyThread_get_thread_ident()) Py_RETURN_FALSE;
    if (look_at(roots, &look) || look.axes || look.kind != FLOAT32) Py_RETURN_FALSE;
    pulse->loss = *(const float *)look.values;
    if (!isfinite(pulse->loss)) Py_RETURN_FALSE;
    const int uncleared = ledger_uncleared(pulse->ledger, pulse->optimized);
    if (uncleared < 0) return NULL;
    if (uncleared) Py_RETURN_FALSE;
    pulse->running = pulse->board->in_backward = 1;
    Py_RETURN_TRUE;
}

/* ends(finished): the backward pass is over, or failed. Without a gradient of ours it was of another network. */
static PyObject *pulse_ends(Pulse *pulse, PyObject *finished) {
    Board *board = pulse->board;
    pulse->running = board->in_backward = 0;
    const int ours = finished == Py_True ? ledger_uncleared(pulse->ledger, pulse->optimized) : 0;
    if (ours < 0) return NULL;
    if (finished != Py_True) Py_CLEAR(board->current);
    if (ours) {
        Py_XSETREF(pulse->sheet, (PyObject *)board->current);
        board->current = NULL;
    }
    Py_RETURN_NONE;
}

/* The learning rate of the first group, a new reference; NULL (never with an exception) where it is no plain number. */
static PyObject *rate_of(PyObject *optimizer) {
    PyObject *groups = PyObject_GetAttr(optimizer, torch.param_groups), *rate = NULL;
    if (groups && PyList_Check(groups) && PyList_GET_SIZE(groups) && PyDict_Check(PyList_GET_ITEM(groups, 0)))
        rate = PyDict_GetItemWithError(PyList_GET_ITEM(groups, 0), torch.lr);
    rate = rate && PyFloat_CheckExact(rate) ? Py_NewRef(rate) : NULL;
    Py_XDECREF(groups);
    PyErr_Clear();
    return rate;
}

static int append(PyObject *list, PyObject *value) {
    const int failed = !value || PyList_Append(list, value);
    Py_XDECREF(value);
    return failed ? -1 : 0;
}

/* Write the row of the step that ends; what `ledger_measure` returns. */
static PyObject *written(Pulse *pulse, PyObject *rate) {
    const Py_ssize_t row = PyList_GET_SIZE(pulse->lists[STEPS]);
    PyObject *lost = ledger_measure(pulse->ledger, pulse->parameters, row, 1, 1);
    if (!lost) return NULL;
    if (board_settle(pulse->board, pulse->sheet, pulse->layers, row) ||
        append(pulse->lists[STEPS], PyLong_FromLongLong(pulse->step)) ||
        append(pulse->lists[LOSSES], PyFloat_FromDouble(pulse->loss)) || append(pulse->lists[KNOWN], Py_NewRef(Py_True)) ||
        append(pulse->lists[RATES], Py_NewRef(rate)) || append(pulse->lists[BACKWARDS], PyLong_FromLong(1)))
        Py_CLEAR(lost);
    return lost;
}

/* stepped(optimizer): None when Python has to see to this step; otherwise the numbers of the parameters that can no
 * longer be read here, which are none as a rule. */
static PyObject *pulse_stepped(Pulse *pulse, PyObject *optimizer) {
    const long long step = pulse->step + 1;
    if (!pulse->stepper || optimizer != pulse->stepper) Py_RETURN_NONE;
    if (!pulse->sampled) {
        if (step % pulse->every == 0) Py_RETURN_NONE;
        pulse->step = step;
        return PyTuple_New(0);
    }
    if (!pulse->armed || !pulse->sheet || pulse->every != 1 || step < FIRST || step % LOOK == 0) Py_RETURN_NONE;
    if (PyList_GET_SIZE(pulse->lists[STEPS]) + 1 >= pulse->window) Py_RETURN_NONE;
    PyObject *rate = rate_of(optimizer);
    if (!rate) Py_RETURN_NONE;
    pulse->step = step;
    PyObject *lost = written(pulse, rate);
    Py_DECREF(rate);
    Py_CLEAR(pulse->sheet);
    if (lost != Py_None) return pulse->armed = 0, lost; /* also NULL */
    Py_DECREF(lost);
    return PyTuple_New(0);
}

static PyMethodDef METHODS[] = {
    {"arm", (PyCFunction)pulse_arm, METH_VARARGS,
     "arm(stepper, optimized, layers, parameters, lists, sampled, ordinary): what the next step needs."},
    {"unfold", (PyCFunction)pulse_unfold, METH_NOARGS, "unfold(): leave this step to Python; its loss and sheet, or None."},
    {"begins", (PyCFunction)pulse_begins, METH_O, "begins(roots): whether Python need not hear of this backward pass."},
    {"ends", (PyCFunction)pulse_ends, METH_O, "ends(finished): it is over, or failed."},
    {"stepped", (PyCFunction)pulse_stepped, METH_O, "stepped(optimizer): None when Python has to see to this step."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"running", T_BOOL, offsetof(Pulse, running), READONLY, "Whether a backward pass runs that Python did not hear of."},
    {"step", T_LONGLONG, offsetof(Pulse, step), 0, "Steps so far."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject PulseType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "equipoise.vitals._kernel.Pulse",
    .tp_basicsize = sizeof(Pulse),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)pulse_visit,
    .tp_clear = (inquiry)pulse_clear,
    .tp_doc = "Follows ordinary steps of a training loop by itself.",
    .tp_new = pulse_new,
    .tp_dealloc = (destructor)pulse_free,
    .tp_methods = METHODS,
    .tp_members = MEMBERS,
};

int pulse_ready(void) { return PyType_Ready(&PulseType); }
