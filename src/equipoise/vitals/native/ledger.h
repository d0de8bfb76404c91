/* The type by which Python measures parameters. */
#ifndef EQUIPOISE_LEDGER_H
#define EQUIPOISE_LEDGER_H

#include "look.h"

extern PyTypeObject LedgerType;

int ledger_ready(void);

#endif
