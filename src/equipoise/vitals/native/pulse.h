/* The type that does an ordinary step of a training loop without Python. */
#ifndef EQUIPOISE_PULSE_H
#define EQUIPOISE_PULSE_H

#include "look.h"

extern PyTypeObject PulseType;

int pulse_ready(void);

#endif
