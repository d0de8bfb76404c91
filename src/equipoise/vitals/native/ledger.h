/* The type by which Python measures parameters. */
#ifndef EQUIPOISE_LEDGER_H
#define EQUIPOISE_LEDGER_H

#include "look.h"

typedef struct Entry Entry;

/* The parameters of one network. */
typedef struct {
    PyObject_HEAD
    Entry *entries;
    Py_ssize_t count;
} Ledger;

extern PyTypeObject LedgerType;

/* Fill one of many rows with SUMS numbers for each entry; what is not there is left as it was. Returns None, or the
 * numbers of those that can no longer be read here, and are void from now on. */
PyObject *ledger_measure(Ledger *ledger, PyObject *rows, Py_ssize_t row, int weights, int gradients);

/* Whether any of these entries has a gradient that is not zero; -1 with an exception. */
int ledger_uncleared(const Ledger *ledger, PyObject *numbers);

int ledger_ready(void);

#endif
