/* Losses: the mean over a batch, and its gradient for the scores. */
#ifndef EQUIPOISE_LOSSES_H
#define EQUIPOISE_LOSSES_H

#include "chain.h"

#include <math.h>

static double cross_entropy(const Loss *loss, const float *scores, const int64_t *labels, const int64_t *order,
                            float *slope, int64_t rows, int64_t classes, double share) {
    const float *weights = loss->weights;
    double whole = rows;
    if (weights) {
        whole = 0;
        for (int64_t r = 0; r < rows; r++) whole += weights[labels[order[r]]];
    }
    const float spread = (float)(loss->smoothing / classes), sharp = (float)(1 - loss->smoothing);
    const float scale = (float)(share / whole);
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *z = scores + r * classes;
        float *d = slope + r * classes, largest = z[0], exponentials = 0;
        for (int64_t c = 1; c < classes; c++) largest = z[c] > largest ? z[c] : largest;
        for (int64_t c = 0; c < classes; c++) exponentials += d[c] = expf(z[c] - largest);
        const float level = largest + logf(exponentials);
        const int64_t label = labels[order[r]];
        const float wanted = sharp * (weights ? weights[label] : 1);
        float all = wanted, said = wanted * (z[label] - level);
        if (spread > 0)
            for (int64_t c = 0; c < classes; c++) {
                const float part = spread * (weights ? weights[c] : 1);
                all += part, said += part * (z[c] - level);
            }
        const float turn = all / exponentials;
        for (int64_t c = 0; c < classes; c++) {
            const float part = spread > 0 ? spread * (weights ? weights[c] : 1) : 0;
            d[c] = scale * (d[c] * turn - part - (c == label ? wanted : 0));
        }
        sum -= said;
    }
    return sum / whole * share;
}

/* log(1 + exp(z)) without overflow. */
static inline float softplus(float z) { return (z < 0 ? 0 : z) + log1pf(expf(-fabsf(z))); }

static double binary(const Loss *loss, const float *scores, const void *targets, const int64_t *order, float *slope,
                     int64_t rows, int64_t labels, double share) {
    const float *absent = loss->weights, *present = absent ? absent + loss->weight_columns : NULL;
    const float sharp = (float)(1 - loss->smoothing), spread = (float)(loss->smoothing / 2);
    double sum = 0, whole = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < labels; c++) {
            const int64_t at = order[r] * labels + c, k = r * labels + c, column = loss->weight_columns > 1 ? c : 0;
            float yes = loss->indexed ? (float)((const int64_t *)targets)[at] : ((const float *)targets)[at];
            if (spread > 0) yes = yes * sharp + spread;
            const float up = (present ? present[column] : 1) * yes, down = (absent ? absent[column] : 1) * (1 - yes);
            const float z = scores[k], chance = 1 / (1 + expf(-z));
            sum += up * softplus(-z) + down * softplus(z);
            whole += up + down;
            slope[k] = down * chance - up * (1 - chance);
        }
    const float scale = (float)(share / whole);
    for (int64_t k = 0; k < rows * labels; k++) slope[k] *= scale;
    return sum / whole * share;
}

static double distance(const Loss *loss, const float *scores, const float *targets, const int64_t *order, float *slope,
                       int64_t rows, int64_t width, double share) {
    const float scale = (float)(share / (rows * width)), delta = (float)loss->delta;
    double sum = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            const int64_t k = r * width + c;
            const float off = scores[k] - targets[order[r] * width + c], far = fabsf(off);
            const float side = off > 0 ? 1 : off < 0 ? -1 : off; /* NaN stays */
            if (loss->kind == SQUARED) sum += off * off, slope[k] = 2 * scale * off;
            else if (loss->kind == ABSOLUTE) sum += far, slope[k] = scale * side;
            else if (far > delta) sum += delta * (far - 0.5f * delta), slope[k] = scale * delta * side;
            else sum += 0.5f * off * off, slope[k] = scale * off;
        }
    return sum / (rows * width) * share;
}

/* The loss of the rows of `order`, times `share`; fills `slope` with its gradient. */
static double judge(const Loss *loss, const float *scores, const void *targets, const int64_t *order, float *slope,
                    int64_t rows, int64_t width, double share) {
    if (loss->kind == CROSS_ENTROPY) return cross_entropy(loss, scores, targets, order, slope, rows, width, share);
    if (loss->kind == BINARY) return binary(loss, scores, targets, order, slope, rows, width, share);
    return distance(loss, scores, targets, order, slope, rows, width, share);
}

#endif
