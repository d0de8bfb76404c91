/* Board: where the activations of one network are measured. Sheet: what one forward pass measured. Meter: one hook. */
#include "board.h"

#include <math.h>
#include <string.h>
#include <structmember.h>

/* ------------------------------------------------------------------------------------------------------- sheets */

/* What one forward pass measured, for the first `places` places: SCALARS numbers each, then the sums of their units. */
struct Sheet {
    PyObject_HEAD
    double *scalars, *units;
    Py_ssize_t places, unit_count;
};

static void sheet_free(Sheet *sheet) {
    PyMem_Free(sheet->scalars);
    PyMem_Free(sheet->units);
    Py_TYPE(sheet)->tp_free((PyObject *)sheet);
}

/* Make room for so many places and units; the scalars of new places are zero, which says that their units are void. */
static int sheet_grow(Sheet *sheet, Py_ssize_t places, Py_ssize_t unit_count) {
    if (sheet->places >= places && sheet->unit_count >= unit_count) return 0;
    double *scalars = PyMem_Realloc(sheet->scalars, (size_t)(places * SCALARS + 1) * sizeof(double));
    if (scalars) sheet->scalars = scalars;
    double *units = PyMem_Realloc(sheet->units, (size_t)(unit_count * UNIT_SUMS + 1) * sizeof(double));
    if (units) sheet->units = units;
    if (!scalars || !units) return PyErr_NoMemory(), -1;
    memset(scalars + sheet->places * SCALARS, 0, (size_t)((places - sheet->places) * SCALARS) * sizeof(double));
    sheet->places = places;
    sheet->unit_count = unit_count;
    return 0;
}

static PyTypeObject SheetType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "equipoise.vitals._kernel.Sheet",
    .tp_basicsize = sizeof(Sheet),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "What one forward pass measured.",
    .tp_dealloc = (destructor)sheet_free,
};

/* ------------------------------------------------------------------------------------------------------- boards */

struct Place {
    int axes, axis;          /* of the tensor that is measured here, and of its units; below 0 for one unit */
    Py_ssize_t units, first; /* how many units, and where their sums begin */
    Measure measure;
};

static void board_free(Board *board) {
    PyMem_Free(board->places);
    PyMem_Free(board->totals);
    PyObject_GC_UnTrack(board);
    Py_XDECREF(board->current);
    Py_XDECREF(board->network);
    Py_TYPE(board)->tp_free((PyObject *)board);
}

static int board_visit(Board *board, visitproc visit, void *arg) {
    Py_VISIT(board->network);
    return 0;
}

static int board_clear(Board *board) {
    Py_CLEAR(board->network);
    return 0;
}

static PyObject *board_add(Board *board, PyObject *args) {
    Place place = {.measure = {.mode = PLAIN}};
    if (!PyArg_ParseTuple(args, "nii", &place.units, &place.axes, &place.axis)) return NULL;
    place.first = board->unit_count;
    Place *places = PyMem_Realloc(board->places, (size_t)(board->place_count + 1) * sizeof(Place));
    if (places) board->places = places;
    double *totals = PyMem_Realloc(board->totals, (size_t)((place.first + place.units) * UNIT_SUMS) * sizeof(double));
    if (totals) board->totals = totals;
    if (!places || !totals) return PyErr_NoMemory();
    memset(totals + place.first * UNIT_SUMS, 0, (size_t)(place.units * UNIT_SUMS) * sizeof(double));
    places[board->place_count] = place;
    board->unit_count += place.units;
    return PyLong_FromSsize_t(board->place_count++);
}

static Place *place_at(Board *board, Py_ssize_t at) {
    if (at >= 0 && at < board->place_count) return &board->places[at];
    PyErr_Format(PyExc_IndexError, "got place %zd; expected one below %zd. Add it first.", at, board->place_count);
    return NULL;
}

static PyObject *board_set(Board *board, PyObject *args) {
    Py_ssize_t at;
    int mode;
    float low, high;
    if (!PyArg_ParseTuple(args, "niff", &at, &mode, &low, &high)) return NULL;
    Place *place = place_at(board, at);
    if (!place) return NULL;
    place->measure = (Measure){.mode = (Mode)mode, .low = low, .high = high};
    Py_RETURN_NONE;
}

/* Begin a forward pass on a new sheet; -1 with an exception. */
static int begin(Board *board) {
    Sheet *sheet = PyObject_New(Sheet, &SheetType);
    if (!sheet) return -1;
    sheet->scalars = sheet->units = NULL;
    sheet->places = sheet->unit_count = 0;
    if (sheet_grow(sheet, board->place_count, board->unit_count)) return Py_DECREF(sheet), -1;
    Py_XSETREF(board->current, sheet);
    PyObject *training = board->network ? PyObject_GetAttr(board->network, torch.training) : NULL;
    PyErr_Clear();
    board->training = training == Py_True;
    Py_XDECREF(training);
    board->thread = PyThread_get_thread_ident();
    board->plain = 1;
    board->pass++;
    return 0;
}

static PyObject *board_begin(Board *board, PyObject *unused) {
    (void)unused;
    if (begin(board)) return NULL;
    board->plain = 0;
    return Py_NewRef((PyObject *)board->current);
}

/* Whether this thread is another one than that which trains the network, as far as that is known. */
static int elsewhere(const Board *board) {
    const unsigned long thread = PyThread_get_thread_ident();
    return (board->home && board->home != thread) || (board->current && board->thread != thread);
}

static PyObject *board_elsewhere(Board *board, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(elsewhere(board));
}

static PyObject *board_live_here(Board *board, PyObject *unused) {
    (void)unused;
    board->home = PyThread_get_thread_ident();
    Py_RETURN_NONE;
}

static PyObject *board_runs_here(Board *board, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(board->current && board->thread == PyThread_get_thread_ident());
}

static PyObject *board_end(Board *board, PyObject *unused) {
    (void)unused;
    PyObject *sheet = board->current ? (PyObject *)board->current : Py_NewRef(Py_None);
    board->current = NULL;
    board->in_backward = 0;
    return sheet;
}

/* 1 when the tensor was measured, 0 when it cannot be read here, -1 with an exception. */
static int measure(Board *board, Place *place, PyObject *tensor) {
    Look look;
    Tensor seen;
    Sheet *sheet = board->current;
    if (!sheet || look_at(tensor, &look) || look.axes != place->axes || arranged(&look, place->axis, &seen)) return 0;
    if (seen.units != place->units) return 0;
    if (sheet_grow(sheet, board->place_count, board->unit_count)) return -1;
    double *scalars = sheet->scalars + (place - board->places) * SCALARS;
    double *units = sheet->units + place->first * UNIT_SUMS;
    if (torch.statistics->activation(&seen, &place->measure, scalars, units)) return PyErr_NoMemory(), -1;
    return 1;
}

static PyObject *board_measure(Board *board, PyObject *args) {
    Py_ssize_t at;
    PyObject *tensor;
    if (!PyArg_ParseTuple(args, "nO", &at, &tensor)) return NULL;
    Place *place = place_at(board, at);
    const int done = place ? measure(board, place, tensor) : -1;
    return done < 0 ? NULL : PyBool_FromLong(done);
}

int board_settle(Board *board, PyObject *settled, PyObject *array, Py_ssize_t row) {
    const Sheet *sheet = (Sheet *)settled;
    Py_buffer rows;
    if (PyObject_GetBuffer(array, &rows, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)) return -1;
    const Py_ssize_t width = rows.ndim == 3 && row >= 0 && row < rows.shape[0] ? rows.shape[1] : 0;
    double *to = (double *)rows.buf + row * width * SCALARS;
    for (Py_ssize_t at = 0; at < sheet->places && at < width; at++, to += SCALARS) {
        const double *from = sheet->scalars + at * SCALARS, largest = to[MAXIMUM];
        const Place *place = &board->places[at];
        if (!from[COUNT]) continue;
        for (int one = 0; one < SCALARS; one++) to[one] += from[one];
        to[MAXIMUM] = largest > from[MAXIMUM] || isnan(largest) ? largest : from[MAXIMUM];
        for (Py_ssize_t unit = place->first * UNIT_SUMS; unit < (place->first + place->units) * UNIT_SUMS; unit++)
            board->totals[unit] += sheet->units[unit];
    }
    PyBuffer_Release(&rows);
    return 0;
}

/* settle(sheet, rows, row): see `board_settle`. */
static PyObject *settle(Board *board, PyObject *args) {
    PyObject *sheet, *rows;
    Py_ssize_t row;
    if (!PyArg_ParseTuple(args, "O!On", &SheetType, &sheet, &rows, &row)) return NULL;
    if (board_settle(board, sheet, rows, row)) return NULL;
    Py_RETURN_NONE;
}

static PyObject *board_totals(Board *board, PyObject *args) {
    Py_ssize_t at;
    if (!PyArg_ParseTuple(args, "n", &at)) return NULL;
    Place *place = place_at(board, at);
    if (!place) return NULL;
    double *totals = board->totals + place->first * UNIT_SUMS;
    const size_t bytes = (size_t)(place->units * UNIT_SUMS) * sizeof(double);
    PyObject *found = PyBytes_FromStringAndSize((char *)totals, (Py_ssize_t)bytes);
    if (found) memset(totals, 0, bytes);
    return found;
}

static PyMethodDef BOARD_METHODS[] = {
    {"add", (PyCFunction)board_add, METH_VARARGS, "add(units, axes, axis): a place for tensors of that shape; its number."},
    {"set", (PyCFunction)board_set, METH_VARARGS, "set(place, mode, low, high): what counts as active there."},
    {"begin", (PyCFunction)board_begin, METH_NOARGS, "begin(): the sheet of a new forward pass."},
    {"elsewhere", (PyCFunction)board_elsewhere, METH_NOARGS, "elsewhere(): whether this thread is not the one that trains."},
    {"live_here", (PyCFunction)board_live_here, METH_NOARGS, "live_here(): this thread trains the network."},
    {"runs_here", (PyCFunction)board_runs_here, METH_NOARGS, "runs_here(): whether this thread runs a forward pass."},
    {"end", (PyCFunction)board_end, METH_NOARGS, "end(): no pass is running; the sheet of the one that was, or None."},
    {"measure", (PyCFunction)board_measure, METH_VARARGS, "measure(place, tensor): whether it could be read."},
    {"settle", (PyCFunction)settle, METH_VARARGS, "settle(sheet, rows, row): add it to a row and the totals."},
    {"totals", (PyCFunction)board_totals, METH_VARARGS, "totals(place): the sums of its units as bytes, set to zero."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef BOARD_MEMBERS[] = {
    {"current", T_OBJECT, offsetof(Board, current), READONLY, "The sheet of the forward pass that is running, or None."},
    {"learning", T_BOOL, offsetof(Board, learning), 0, "Whether every call goes to Python."},
    {"in_backward", T_BOOL, offsetof(Board, in_backward), 0, "Whether a backward pass is running."},
    {"network", T_OBJECT, offsetof(Board, network), 0, "The network, whose mode is noted when a pass begins."},
    {"training", T_BOOL, offsetof(Board, training), READONLY, "Its mode when the pass began."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject BoardType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "equipoise.vitals._kernel.Board",
    .tp_basicsize = sizeof(Board),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)board_visit,
    .tp_clear = (inquiry)board_clear,
    .tp_doc = "Where the activations of one network are measured.",
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)board_free,
    .tp_methods = BOARD_METHODS,
    .tp_members = BOARD_MEMBERS,
};

/* ------------------------------------------------------------------------------------------------------- meters */

enum { CALLS = 4 };

/* Numbers the calls of one module in a forward pass and measures those whose place is known. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    Board *board;
    Py_ssize_t places[CALLS]; /* of the first calls; below 0 where Python has to look */
    Py_ssize_t calls;         /* so far in this pass */
    unsigned long long pass;
} Meter;

static int meter_visit(Meter *meter, visitproc visit, void *arg) {
    Py_VISIT(meter->board);
    return 0;
}

static int meter_clear(Meter *meter) {
    Py_CLEAR(meter->board);
    return 0;
}

static void meter_free(Meter *meter) {
    PyObject_GC_UnTrack(meter);
    Py_XDECREF(meter->board);
    Py_TYPE(meter)->tp_free((PyObject *)meter);
}

/* meter(output): True when there is nothing more to do for this call. */
static PyObject *meter_call(PyObject *self, PyObject *const *args, size_t flags, PyObject *names) {
    Meter *meter = (Meter *)self;
    Board *board = meter->board;
    (void)names;
    if (!board) Py_RETURN_TRUE; /* being thrown away */
    if (PyVectorcall_NARGS(flags) != 1) return PyErr_SetString(PyExc_TypeError, "a meter takes the output"), NULL;
    PyObject *enabled = PyObject_CallNoArgs(torch.grad_enabled);
    if (!enabled) return NULL;
    Py_DECREF(enabled);
    if (enabled != Py_True || elsewhere(board)) Py_RETURN_TRUE; /* no gradient will be taken of it, or not here */
    if (!board->current && begin(board)) return NULL;
    if (meter->pass != board->pass) meter->pass = board->pass, meter->calls = 0;
    if (board->in_backward && meter->calls) Py_RETURN_TRUE; /* a checkpointed segment runs once more */
    const Py_ssize_t call = meter->calls++;
    const int known = !board->learning && call < CALLS && meter->places[call] >= 0;
    const int done = known ? measure(board, &board->places[meter->places[call]], args[0]) : 0;
    if (done < 0) return NULL;
    board->plain &= (char)done;
    return PyBool_FromLong(done);
}

static PyObject *meter_new(PyTypeObject *type, PyObject *args, PyObject *names) {
    (void)names;
    Board *board;
    if (!PyArg_ParseTuple(args, "O!", &BoardType, &board)) return NULL;
    Meter *meter = (Meter *)type->tp_alloc(type, 0);
    if (!meter) return NULL;
    meter->call = meter_call;
    meter->board = (Board *)Py_NewRef(board);
    for (int call = 0; call < CALLS; call++) meter->places[call] = -1;
    return (PyObject *)meter;
}

static PyObject *meter_bind(Meter *meter, PyObject *args) {
    Py_ssize_t call, place;
    if (!PyArg_ParseTuple(args, "nn", &call, &place)) return NULL;
    if (place >= 0 && !place_at(meter->board, place)) return NULL;
    if (call >= 1 && call <= CALLS) meter->places[call - 1] = place;
    Py_RETURN_NONE;
}

static PyMethodDef METER_METHODS[] = {
    {"bind", (PyCFunction)meter_bind, METH_VARARGS, "bind(call, place): where the call of that number is measured."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef METER_MEMBERS[] = {
    {"calls", T_PYSSIZET, offsetof(Meter, calls), READONLY, "Calls so far in this pass."},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject MeterType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "equipoise.vitals._kernel.Meter",
    .tp_basicsize = sizeof(Meter),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)meter_visit,
    .tp_clear = (inquiry)meter_clear,
    .tp_doc = "Numbers the calls of one module in a forward pass and measures those whose place is known.",
    .tp_new = meter_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Meter, call),
    .tp_dealloc = (destructor)meter_free,
    .tp_methods = METER_METHODS,
    .tp_members = METER_MEMBERS,
};

int board_ready(void) {
    return PyType_Ready(&SheetType) || PyType_Ready(&BoardType) || PyType_Ready(&MeterType) ? -1 : 0;
}
