/* Matrix products in blocks of registers, with vector types of GCC and Clang; sums in a fixed order. */
#ifndef EQUIPOISE_MATRICES_H
#define EQUIPOISE_MATRICES_H

#include <stdint.h>
#include <string.h>

#define INLINED static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 8")

typedef float Floats __attribute__((vector_size(BYTES)));
enum { LANES = BYTES / 4, TALL = 4, BROAD = 3 }; /* a block of TALL x BROAD sums leaves registers for its factors */

INLINED Floats load(const float *from) {
    Floats values;
    memcpy(&values, from, sizeof values);
    return values;
}

INLINED void store(float *to, Floats values) { memcpy(to, &values, sizeof values); }

INLINED float total(Floats values) {
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += values[lane];
    return sum;
}

/* says[r, c] = given[r] . weight[c] + bias[c] for `high` rows and `wide` columns from (row, column) on. */
INLINED void dots(const float *const *given, const float *weight, const float *bias, float *says, int64_t in,
                  int64_t out, int64_t row, int64_t column, const int high, const int wide) {
    Floats sums[TALL][BROAD];
    UNROLLED for (int r = 0; r < high; r++) UNROLLED for (int c = 0; c < wide; c++) sums[r][c] = (Floats){0};
    int64_t i = 0;
    for (; i + LANES <= in; i += LANES) {
        Floats x[TALL];
        UNROLLED for (int r = 0; r < high; r++) x[r] = load(given[row + r] + i);
        UNROLLED for (int c = 0; c < wide; c++) {
            const Floats w = load(weight + (column + c) * in + i);
            UNROLLED for (int r = 0; r < high; r++) sums[r][c] += x[r] * w;
        }
    }
    UNROLLED for (int r = 0; r < high; r++) UNROLLED for (int c = 0; c < wide; c++) {
        float sum = total(sums[r][c]);
        for (int64_t j = i; j < in; j++) sum += given[row + r][j] * weight[(column + c) * in + j];
        says[(row + r) * out + column + c] = sum + (bias ? bias[column + c] : 0.0f);
    }
}

static void affine(const float *const *given, const float *weight, const float *bias, float *says, int64_t rows,
                   int64_t in, int64_t out) {
    int64_t row = 0;
    for (; row + TALL <= rows; row += TALL) {
        int64_t column = 0;
        for (; column + BROAD <= out; column += BROAD) dots(given, weight, bias, says, in, out, row, column, TALL, BROAD);
        for (; column < out; column++) dots(given, weight, bias, says, in, out, row, column, TALL, 1);
    }
    for (; row < rows; row++) {
        int64_t column = 0;
        for (; column + BROAD <= out; column += BROAD) dots(given, weight, bias, says, in, out, row, column, 1, BROAD);
        for (; column < out; column++) dots(given, weight, bias, says, in, out, row, column, 1, 1);
    }
}

/* to[r, i] (+)= sum over t of factor[r * down + t * along] * lines[t][i], for `high` rows and `wide` vectors. */
INLINED void sums(const float *factor, int64_t down, int64_t along, const float *const *lines, float *to, int64_t terms,
                  int64_t width, int64_t row, int64_t i, int more, const int high, const int wide) {
    Floats held[TALL][BROAD];
    UNROLLED for (int r = 0; r < high; r++) UNROLLED for (int v = 0; v < wide; v++)
        held[r][v] = more ? load(to + (row + r) * width + i + v * LANES) : (Floats){0};
    for (int64_t t = 0; t < terms; t++) {
        Floats line[BROAD];
        UNROLLED for (int v = 0; v < wide; v++) line[v] = load(lines[t] + i + v * LANES);
        UNROLLED for (int r = 0; r < high; r++) {
            const float f = factor[(row + r) * down + t * along];
            UNROLLED for (int v = 0; v < wide; v++) held[r][v] += f * line[v];
        }
    }
    UNROLLED for (int r = 0; r < high; r++) UNROLLED for (int v = 0; v < wide; v++)
        store(to + (row + r) * width + i + v * LANES, held[r][v]);
}

static void combine(const float *factor, int64_t down, int64_t along, const float *const *lines, float *to, int64_t rows,
                    int64_t terms, int64_t width, int more) {
    int64_t i = 0;
    for (; i + BROAD * LANES <= width; i += BROAD * LANES) {
        int64_t row = 0;
        for (; row + TALL <= rows; row += TALL) sums(factor, down, along, lines, to, terms, width, row, i, more, TALL, BROAD);
        for (; row < rows; row++) sums(factor, down, along, lines, to, terms, width, row, i, more, 1, BROAD);
    }
    for (; i + LANES <= width; i += LANES) {
        int64_t row = 0;
        for (; row + TALL <= rows; row += TALL) sums(factor, down, along, lines, to, terms, width, row, i, more, TALL, 1);
        for (; row < rows; row++) sums(factor, down, along, lines, to, terms, width, row, i, more, 1, 1);
    }
    for (; i < width; i++)
        for (int64_t row = 0; row < rows; row++) {
            float sum = more ? to[row * width + i] : 0.0f;
            for (int64_t t = 0; t < terms; t++) sum += factor[row * down + t * along] * lines[t][i];
            to[row * width + i] = sum;
        }
}

#endif
