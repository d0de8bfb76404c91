/* Forward and backward pass of the layers that are not a matrix product, one row or one unit at a time. */
#ifndef EQUIPOISE_LAYERS_H
#define EQUIPOISE_LAYERS_H

#include "chain.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Comparisons are written so that NaN goes through them, as in torch. */
static const float SELU_SCALE = 1.0507009873554804934193349852946f, SELU_ALPHA = 1.6732632423543772848170429916717f;
static const float ROOT_HALF = 0.70710678118654752440f, ROOT_TWO_PI = 0.39894228040143267794f; /* the latter inverse */

#define EACH for (int64_t i = 0; i < count; i++)

static void apply(int function, float value, const float *restrict x, float *restrict y, int64_t count) {
    switch (function) {
    case RELU: EACH y[i] = x[i] < 0 ? 0 : x[i]; return;
    case LEAKY_RELU: EACH y[i] = x[i] > 0 ? x[i] : x[i] * value; return;
    case GELU: EACH y[i] = 0.5f * x[i] * (1 + erff(x[i] * ROOT_HALF)); return;
    case SILU: EACH y[i] = x[i] / (1 + expf(-x[i])); return;
    case TANH: EACH y[i] = tanhf(x[i]); return;
    case SIGMOID: EACH y[i] = 1 / (1 + expf(-x[i])); return;
    case ELU: EACH y[i] = x[i] > 0 ? x[i] : value * expm1f(x[i]); return;
    default: EACH y[i] = SELU_SCALE * (x[i] > 0 ? x[i] : SELU_ALPHA * expm1f(x[i]));
    }
}

/* Multiplies `slope` by the derivative at x, where the function says y. */
static void derive(int function, float value, const float *restrict x, const float *restrict y, float *restrict slope,
                   int64_t count) {
    switch (function) {
    case RELU: EACH slope[i] = y[i] <= 0 ? 0 : slope[i]; return;
    case LEAKY_RELU: EACH slope[i] = x[i] > 0 ? slope[i] : slope[i] * value; return;
    case GELU:
        EACH {
            const float below = 0.5f * (1 + erff(x[i] * ROOT_HALF));
            const float density = expf(-0.5f * x[i] * x[i]) * ROOT_TWO_PI;
            slope[i] *= below + x[i] * density;
        }
        return;
    case SILU:
        EACH {
            const float gate = 1 / (1 + expf(-x[i]));
            slope[i] *= gate * (1 + x[i] * (1 - gate));
        }
        return;
    case TANH: EACH slope[i] *= 1 - y[i] * y[i]; return;
    case SIGMOID: EACH slope[i] *= (1 - y[i]) * y[i]; return;
    case ELU: EACH slope[i] = x[i] > 0 ? slope[i] : slope[i] * value * expf(x[i]); return;
    default: EACH slope[i] *= SELU_SCALE * (x[i] > 0 ? 1 : SELU_ALPHA * expf(x[i]));
    }
}

/* `sums` has room for two numbers a unit: rows are read one after another, as they lie. */
static void batch_norm(const Layer *layer, const Parameter *parameters, int64_t rows, double *sums) {
    const int64_t units = layer->out;
    const float *gain = layer->weight < 0 ? NULL : parameters[layer->weight].value;
    const float *shift = layer->bias < 0 ? NULL : parameters[layer->bias].value;
    double *restrict mean = sums, *restrict squares = sums + units;
    memset(sums, 0, 2 * units * sizeof *sums);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t u = 0; u < units; u++) mean[u] += layer->input[r][u];
    for (int64_t u = 0; u < units; u++) mean[u] /= rows;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t u = 0; u < units; u++) squares[u] += (layer->input[r][u] - mean[u]) * (layer->input[r][u] - mean[u]);
    for (int64_t u = 0; u < units; u++) layer->inverse[u] = (float)(1 / sqrt(squares[u] / rows + layer->value));
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict x = layer->input[r];
        float *restrict normal = layer->normal + r * units, *restrict says = layer->result + r * units;
        for (int64_t u = 0; u < units; u++) {
            normal[u] = (float)(x[u] - mean[u]) * layer->inverse[u];
            says[u] = normal[u] * (gain ? gain[u] : 1) + (shift ? shift[u] : 0);
        }
    }
    if (layer->mean)
        for (int64_t u = 0; u < units; u++) {
            const double share = layer->momentum;
            layer->mean[u] = (float)((1 - share) * layer->mean[u] + share * mean[u]);
            layer->variance[u] = (float)((1 - share) * layer->variance[u] + share * squares[u] / (rows - 1));
        }
    if (layer->counted) ++*layer->counted;
}

static void layer_norm(const Layer *layer, const Parameter *parameters, int64_t rows) {
    const int64_t units = layer->out;
    const float *gain = layer->weight < 0 ? NULL : parameters[layer->weight].value;
    const float *shift = layer->bias < 0 ? NULL : parameters[layer->bias].value;
    for (int64_t r = 0; r < rows; r++) {
        const float *x = layer->input[r];
        double sum = 0, squares = 0;
        for (int64_t u = 0; u < units; u++) sum += x[u];
        const double mean = sum / units;
        for (int64_t u = 0; u < units; u++) squares += (x[u] - mean) * (x[u] - mean);
        const float inverse = layer->inverse[r] = (float)(1 / sqrt(squares / units + layer->value));
        for (int64_t u = 0; u < units; u++) {
            const float normal = layer->normal[r * units + u] = (float)(x[u] - mean) * inverse;
            layer->result[r * units + u] = normal * (gain ? gain[u] : 1) + (shift ? shift[u] : 0);
        }
    }
}

/* Of either norm: gradients of gain and shift, and, unless `last`, from the gradient of what it says to that of what it
 * is given. `sums` has room for two numbers a unit. */
static void norm_back(const Layer *layer, Parameter *parameters, float *slope, int64_t rows, int more, int last,
                      double *sums) {
    const int64_t units = layer->out;
    double *restrict sum = sums, *restrict along = sums + units;
    memset(sums, 0, 2 * units * sizeof *sums);
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict d = slope + r * units, *restrict normal = layer->normal + r * units;
        for (int64_t u = 0; u < units; u++) sum[u] += d[u], along[u] += d[u] * normal[u];
    }
    float *gain_slope = layer->weight < 0 ? NULL : parameters[layer->weight].gradient;
    float *shift_slope = layer->bias < 0 ? NULL : parameters[layer->bias].gradient;
    for (int64_t u = 0; u < units && gain_slope; u++) gain_slope[u] = (float)along[u] + (more ? gain_slope[u] : 0);
    for (int64_t u = 0; u < units && shift_slope; u++) shift_slope[u] = (float)sum[u] + (more ? shift_slope[u] : 0);
    if (last) return;
    const float *gain = layer->weight < 0 ? NULL : parameters[layer->weight].value;
    for (int64_t r = 0; r < rows; r++) {
        float *restrict d = slope + r * units;
        const float *restrict normal = layer->normal + r * units;
        if (layer->kind == BATCH_NORM) { /* over the rows: the sums of the units are there already */
            for (int64_t u = 0; u < units; u++) {
                const float mean = (float)(sum[u] / rows), lean = (float)(along[u] / rows);
                d[u] = (gain ? gain[u] : 1) * layer->inverse[u] * (d[u] - mean - normal[u] * lean);
            }
            continue;
        }
        double whole = 0, leaning = 0;
        for (int64_t u = 0; u < units; u++) {
            d[u] *= gain ? gain[u] : 1;
            whole += d[u], leaning += d[u] * normal[u];
        }
        const float mean = (float)(whole / units), lean = (float)(leaning / units);
        for (int64_t u = 0; u < units; u++) d[u] = layer->inverse[r] * (d[u] - mean - normal[u] * lean);
    }
}

#endif
