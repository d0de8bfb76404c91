/* The sums themselves, in plain C with vector types of GCC and Clang; no intrinsics, no reordering of sums.
 *
 * Each value is read once, in lanes of neighbours. Lanes are single precision and are poured into double precision
 * every FLUSH rows, so that large tensors keep their digits. Infinities and NaN go through the sums; only where a sum
 * is not finite are the values looked at once more, to count them.
 *
 * Compiled with BYTES, the width of a vector register, and VARIANT, the name of the table that this file defines.
 */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INLINED static inline __attribute__((always_inline))

typedef float Floats __attribute__((vector_size(BYTES)));
typedef int32_t Ints __attribute__((vector_size(BYTES)));
typedef uint16_t Shorts __attribute__((vector_size(BYTES / 2)));

enum { WIDE = BYTES / 4, LANES = 2 * WIDE, FLUSH = 512, NEAR = 16384 };

/* ------------------------------------------------------------------------------------------------ reading numbers */

INLINED float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Half precision by shifting its exponent; what comes out too large was an infinity or NaN. */
INLINED float from_half(uint16_t half) {
    float magnitude = from_bits((uint32_t)(half & 0x7fff) << 13) * 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    bits |= magnitude >= 65536.0f ? 0x7f800000u : 0u;
    return from_bits(bits | (uint32_t)(half & 0x8000) << 16);
}

INLINED float load(const char *values, int64_t at, Kind kind) {
    if (kind == FLOAT32) return ((const float *)values)[at];
    uint16_t bits = ((const uint16_t *)values)[at];
    return kind == BFLOAT16 ? from_bits((uint32_t)bits << 16) : from_half(bits);
}

INLINED Floats load_wide(const char *at, Kind kind) {
    Floats wide;
    if (kind == FLOAT32) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    Shorts narrow;
    memcpy(&narrow, at, sizeof narrow);
    const Ints bits = __builtin_convertvector(narrow, Ints);
    if (kind == BFLOAT16) return (Floats)(bits << 16);
    wide = (Floats)((bits & 0x7fff) << 13) * 0x1p112f;
    return (Floats)((Ints)wide | ((wide >= 65536.0f) & 0x7f800000) | (bits & 0x8000) << 16);
}

/* ---------------------------------------------------------------------------------------------------- activations */

/* Half of the lanes. Counts are negative, since a comparison that holds is -1. The maximum is that of the bits of
 * absolute values, whose order is that of the values themselves, with NaN above infinity. */
typedef struct {
    Floats sum, squares;
    Ints maximum, active, zeros, saturated;
} Half;

typedef struct {
    Half half[2];
} Lanes;

INLINED Half with(Half h, Floats v, Mode mode, float low, float high, float k) {
    if (mode == RECTIFIED) v = (Floats)((Ints)v & ~(v < 0.0f)); /* keeps NaN */
    Floats d = v - k;
    Ints size = (Ints)v & 0x7fffffff, larger = size > h.maximum;
    h.sum += d;
    h.squares += d * d;
    h.maximum = (size & larger) | (h.maximum & ~larger);
    if (mode == BOUNDED) {
        h.active += (v > low) & (v < high);
        h.saturated += (v <= low) | (v >= high);
        h.zeros += v == 0.0f;
    } else {
        h.active += v != 0.0f;
    }
    return h;
}

/* full_KIND_MODE adds rows of LANES neighbours, `stride` values apart; part_KIND_MODE rows of fewer, whose further lanes
 * are void. They are two functions, since a call of memcpy near the loop drives the lanes out of the registers. */
typedef void Absorb(Lanes *, const char *, int64_t rows, int64_t stride, int width, const Measure *);
#define ABSORB(kind, mode)                                                                                           \
    static void full_##kind##_##mode(Lanes *to, const char *x, int64_t rows, int64_t stride, int width,              \
                                     const Measure *m) {                                                             \
        Half a = to->half[0], b = to->half[1];                                                                       \
        const float low = m->low, high = m->high, k = m->pivot;                                                      \
        (void)width;                                                                                                 \
        for (int64_t r = 0; r < rows; r++, x += stride * WIDTH[kind]) {                                              \
            a = with(a, load_wide(x, kind), mode, low, high, k);                                                     \
            b = with(b, load_wide(x + WIDE * WIDTH[kind], kind), mode, low, high, k);                                \
        }                                                                                                            \
        to->half[0] = a;                                                                                             \
        to->half[1] = b;                                                                                             \
    }                                                                                                                \
    static void part_##kind##_##mode(Lanes *to, const char *x, int64_t rows, int64_t stride, int width,              \
                                     const Measure *m) {                                                             \
        char row[LANES * 4] = {0};                                                                                   \
        for (int64_t r = 0; r < rows; r++, x += stride * WIDTH[kind]) {                                              \
            memcpy(row, x, (size_t)width * WIDTH[kind]);                                                             \
            full_##kind##_##mode(to, row, 1, 0, LANES, m);                                                           \
        }                                                                                                            \
    }
#define ABSORB_ALL(kind) ABSORB(kind, PLAIN) ABSORB(kind, RECTIFIED) ABSORB(kind, BOUNDED)
ABSORB_ALL(FLOAT32)
ABSORB_ALL(BFLOAT16)
ABSORB_ALL(FLOAT16)
#define EVERY(part, kind) {part##_##kind##_PLAIN, part##_##kind##_RECTIFIED, part##_##kind##_BOUNDED}
static Absorb *const FULL[KINDS][MODES] = {EVERY(full, FLOAT32), EVERY(full, BFLOAT16), EVERY(full, FLOAT16)};
static Absorb *const PART[KINDS][MODES] = {EVERY(part, FLOAT32), EVERY(part, BFLOAT16), EVERY(part, FLOAT16)};

typedef struct {
    double *sum, *squares, *active; /* of each unit */
    double zeros, saturated;
    int32_t maximum;
} Totals;

/* Pour lanes into the totals of unit `at` and, with `apart`, of those that follow, one a lane; leaves them empty. */
static void pour(Lanes *lanes, int width, Totals *to, int64_t at, int apart) {
    for (int j = 0; j < width; j++) {
        const Half *h = &lanes->half[j / WIDE];
        int lane = j % WIDE;
        int64_t unit = apart ? at + j : at;
        to->sum[unit] += h->sum[lane];
        to->squares[unit] += h->squares[lane];
        to->active[unit] -= h->active[lane];
        to->zeros -= h->zeros[lane];
        to->saturated -= h->saturated[lane];
        if (h->maximum[lane] > to->maximum) to->maximum = h->maximum[lane];
    }
    memset(lanes, 0, sizeof *lanes);
}

static int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

/* Units lie side by side: every lane is a unit. Rows are taken in bands that stay in the nearest cache. */
static int over_columns(const Tensor *t, const Measure *m, Totals *to) {
    const int64_t units = t->units, blocks = (units + LANES - 1) / LANES;
    const int64_t band = least(FLUSH, 1 + NEAR / (units * WIDTH[t->kind]));
    Lanes *lanes = aligned_alloc(sizeof(Floats), (size_t)blocks * sizeof(Lanes));
    if (!lanes) return -1;
    memset(lanes, 0, (size_t)blocks * sizeof(Lanes));
    for (int64_t from = 0, filled = 0; from < t->outer; from += band) {
        const int64_t rows = least(band, t->outer - from);
        filled += rows;
        const int full = filled + band > FLUSH || from + rows == t->outer;
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t unit = block * LANES;
            const int width = (int)least(LANES, units - unit);
            Absorb *add = (width == LANES ? FULL : PART)[t->kind][m->mode];
            add(&lanes[block], t->values + (from * units + unit) * WIDTH[t->kind], rows, units, width, m);
            if (full) pour(&lanes[block], width, to, unit, 1);
        }
        if (full) filled = 0;
    }
    free(lanes);
    return 0;
}

/* The values of a unit lie side by side, in `outer` runs: all lanes are one unit. */
static void over_runs(const Tensor *t, const Measure *m, Totals *to) {
    const int64_t rows = t->inner / LANES;
    const int rest = (int)(t->inner % LANES), width = WIDTH[t->kind];
    Absorb *full = FULL[t->kind][m->mode], *part = PART[t->kind][m->mode];
    for (int64_t unit = 0; unit < t->units; unit++) {
        Lanes lanes, last; /* the rest of a run has lanes of its own, so that what pads it is never poured */
        memset(&lanes, 0, sizeof lanes);
        memset(&last, 0, sizeof last);
        int64_t filled = 0;
        for (int64_t outer = 0; outer < t->outer; outer++) {
            const char *run = t->values + (outer * t->units + unit) * t->inner * width;
            for (int64_t from = 0; from < rows; from += FLUSH) {
                const int64_t some = least(FLUSH, rows - from);
                if (filled + some > FLUSH) pour(&lanes, LANES, to, unit, 0), filled = 0;
                full(&lanes, run + from * LANES * width, some, LANES, LANES, m);
                filled += some;
            }
            if (rest) part(&last, run + rows * LANES * width, 1, 0, rest, m);
            if (outer % FLUSH == FLUSH - 1) pour(&last, rest, to, unit, 0);
        }
        pour(&lanes, LANES, to, unit, 0);
        pour(&last, rest, to, unit, 0);
    }
}

static int64_t count_non_finite(const char *values, int64_t count, Kind kind) {
    int64_t found = 0;
    for (int64_t at = 0; at < count; at++) found += !isfinite(load(values, at, kind));
    return found;
}

static int activation(const Tensor *t, Measure *m, double *scalars, double *units) {
    const int64_t rows = t->outer * t->inner, count = rows * t->units;
    const double k = m->pivot, n = (double)count;
    Totals totals = {units, units + t->units, units + 2 * t->units, 0, 0, 0};
    memset(units, 0, (size_t)(UNIT_SUMS * t->units) * sizeof *units);
    if (t->inner == 1 && t->units > 1) {
        if (over_columns(t, m, &totals)) return -1;
    } else {
        over_runs(t, m, &totals);
    }
    double sum = 0, squares = 0, active = 0;
    for (int64_t unit = 0; unit < t->units; unit++) {
        const double s = totals.sum[unit], q = totals.squares[unit];
        totals.sum[unit] = s + rows * k;
        totals.squares[unit] = q + 2 * k * s + rows * k * k;
        sum += totals.sum[unit];
        squares += totals.squares[unit];
        active += totals.active[unit];
    }
    scalars[COUNT] = n;
    scalars[SUM] = sum;
    scalars[SQUARES] = squares;
    scalars[MAXIMUM] = from_bits((uint32_t)totals.maximum);
    scalars[ZEROS] = m->mode == BOUNDED ? totals.zeros : n - active;
    scalars[SATURATED] = totals.saturated;
    scalars[NON_FINITE] = isfinite(squares) ? 0 : (double)count_non_finite(t->values, count, t->kind);
    scalars[ROWS] = (double)rows;
    const double mean = count ? sum / n : 0;
    m->pivot = fabs(mean) < 1e18 ? (float)mean : 0; /* also when it is not finite */
    return 0;
}

/* ----------------------------------------------------------------------------------------------------- parameters */

/* Add up the lanes of a vector. */
INLINED double all_of(Floats v) {
    double total = 0;
    for (int j = 0; j < WIDE; j++) total += v[j];
    return total;
}

INLINED int64_t all_counted(Ints v) {
    int64_t total = 0;
    for (int j = 0; j < WIDE; j++) total -= v[j];
    return total;
}

enum { BATCH = FLUSH * LANES }; /* values between two pourings */

/* Ask for what comes a kilobyte later: another step of the network has been through the caches meanwhile. */
INLINED void ahead(const char *at) { __builtin_prefetch(at + 1024); }

INLINED void store_wide(char *to, const char *from, Floats wide, Kind kind) {
    if (kind == FLOAT32)
        memcpy(to, &wide, sizeof wide);
    else
        memcpy(to, from, sizeof(Shorts));
}

/* Squares of numbers that may be too large for the lanes. */
static double squares_of_large(const char *values, int64_t count, Kind kind) {
    double squares = 0;
    for (int64_t at = 0; at < count; at++) {
        const double v = load(values, at, kind);
        squares += v * v;
    }
    return squares;
}

INLINED void weights_of(const char *w, char *before, int64_t count, Kind kind, WeightSums *to) {
    const int64_t whole = count / LANES * LANES;
    double squares = 0, moved = 0;
    for (int64_t from = 0; from < whole; from += BATCH) {
        Floats s0 = {0}, s1 = {0}, m0 = {0}, m1 = {0};
        const int64_t stop = least(whole, from + BATCH);
        for (int64_t at = from; at < stop; at += LANES) {
            ahead(w + at * WIDTH[kind]);
            if (before) ahead(before + at * WIDTH[kind]);
            Floats v0 = load_wide(w + at * WIDTH[kind], kind), v1 = load_wide(w + (at + WIDE) * WIDTH[kind], kind);
            s0 += v0 * v0, s1 += v1 * v1;
            if (before) {
                Floats d0 = v0 - load_wide(before + at * WIDTH[kind], kind);
                Floats d1 = v1 - load_wide(before + (at + WIDE) * WIDTH[kind], kind);
                m0 += d0 * d0, m1 += d1 * d1;
                store_wide(before + at * WIDTH[kind], w + at * WIDTH[kind], v0, kind);
                store_wide(before + (at + WIDE) * WIDTH[kind], w + (at + WIDE) * WIDTH[kind], v1, kind);
            }
        }
        squares += all_of(s0) + all_of(s1);
        moved += all_of(m0) + all_of(m1);
    }
    for (int64_t at = whole; at < count; at++) {
        const double v = load(w, at, kind), d = before ? v - load(before, at, kind) : 0;
        squares += v * v, moved += d * d;
    }
    if (before) memcpy(before + whole * WIDTH[kind], w + whole * WIDTH[kind], (size_t)(count - whole) * WIDTH[kind]);
    to->squares += isfinite(squares) ? squares : squares_of_large(w, count, kind);
    to->moved += moved;
}

INLINED void gradients_of(const char *g, char *before, int64_t count, Kind kind, GradientSums *to) {
    const int64_t whole = count / LANES * LANES;
    double squares = 0, product = 0;
    int64_t zeros = 0;
    for (int64_t from = 0; from < whole; from += BATCH) {
        Floats s0 = {0}, s1 = {0}, p0 = {0}, p1 = {0};
        Ints z0 = {0}, z1 = {0};
        const int64_t stop = least(whole, from + BATCH);
        for (int64_t at = from; at < stop; at += LANES) {
            ahead(g + at * WIDTH[kind]);
            if (before) ahead(before + at * WIDTH[kind]);
            Floats v0 = load_wide(g + at * WIDTH[kind], kind), v1 = load_wide(g + (at + WIDE) * WIDTH[kind], kind);
            s0 += v0 * v0, s1 += v1 * v1;
            z0 += v0 == 0.0f, z1 += v1 == 0.0f;
            if (before) {
                p0 += v0 * load_wide(before + at * WIDTH[kind], kind);
                p1 += v1 * load_wide(before + (at + WIDE) * WIDTH[kind], kind);
                store_wide(before + at * WIDTH[kind], g + at * WIDTH[kind], v0, kind);
                store_wide(before + (at + WIDE) * WIDTH[kind], g + (at + WIDE) * WIDTH[kind], v1, kind);
            }
        }
        squares += all_of(s0) + all_of(s1);
        product += all_of(p0) + all_of(p1);
        zeros += all_counted(z0) + all_counted(z1);
    }
    for (int64_t at = whole; at < count; at++) {
        const double v = load(g, at, kind);
        squares += v * v, zeros += v == 0;
        if (before) product += v * load(before, at, kind);
    }
    if (before) memcpy(before + whole * WIDTH[kind], g + whole * WIDTH[kind], (size_t)(count - whole) * WIDTH[kind]);
    to->product += product;
    to->zeros += (double)zeros;
    if (isfinite(squares)) {
        to->squares += squares;
    } else {
        to->squares += squares_of_large(g, count, kind);
        to->non_finite += (double)count_non_finite(g, count, kind);
    }
}

#define EACH_KIND(call) \
    switch (kind) { \
    case FLOAT32: call(FLOAT32); break; \
    case BFLOAT16: call(BFLOAT16); break; \
    default: call(FLOAT16); \
    }

static void weights(const char *w, char *before, int64_t count, Kind kind, WeightSums *to) {
#define CALL(k) before ? weights_of(w, before, count, k, to) : weights_of(w, 0, count, k, to)
    EACH_KIND(CALL)
#undef CALL
}

static void gradients(const char *g, char *before, int64_t count, Kind kind, GradientSums *to) {
#define CALL(k) before ? gradients_of(g, before, count, k, to) : gradients_of(g, 0, count, k, to)
    EACH_KIND(CALL)
#undef CALL
}

/* All bytes are zero when the first is and each equals the one before it. A negative zero counts as something. */
static int any(const char *values, int64_t count, Kind kind) {
    const size_t bytes = (size_t)count * WIDTH[kind];
    return bytes && (values[0] || memcmp(values, values + 1, bytes - 1));
}

#define TEXT_OF(name) #name
#define NAME_OF(name) TEXT_OF(name)
const Statistics VARIANT = {NAME_OF(VARIANT), activation, weights, gradients, any};
