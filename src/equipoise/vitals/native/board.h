/* The types by which Python measures activations. */
#ifndef EQUIPOISE_BOARD_H
#define EQUIPOISE_BOARD_H

#include "look.h"

typedef struct Sheet Sheet;
typedef struct Place Place;

/* Where the activations of one network are measured. */
typedef struct {
    PyObject_HEAD
    Place *places;
    Py_ssize_t place_count, unit_count;
    double *totals;
    Sheet *current;    /* of the forward pass that is running */
    PyObject *network; /* whose mode is noted when a pass begins */
    unsigned long long pass;
    unsigned long thread; /* that runs the pass */
    unsigned long home;   /* the thread that trains the network, once that is known; others are not heard */
    char learning, in_backward, training;
    char plain; /* whether Python had nothing to do in this pass */
} Board;

extern PyTypeObject BoardType, MeterType;

/* Add a sheet to one of many rows of an array (rows, places, SCALARS), and its units to the totals; -1 with an exception. */
int board_settle(Board *board, PyObject *sheet, PyObject *rows, Py_ssize_t row);

int board_ready(void);

#endif
