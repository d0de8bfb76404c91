/* The types by which Python measures activations. */
#ifndef EQUIPOISE_BOARD_H
#define EQUIPOISE_BOARD_H

#include "look.h"

extern PyTypeObject BoardType, MeterType;

int board_ready(void);

#endif
