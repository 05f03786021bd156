// The C of the native engine: products, convolutions and comparisons that make full references affordable at model size.

/** Rows and columns of the block of sums that stays in registers; columns are two vectors of any processor. */
export const ROWS = 6;
export const COLUMNS = 8;

/** Output channels whose sums of one line are kept together. */
const CHANNELS = 4;

/** Fewer numbers than this are compared sooner than a second thread is started. */
const ALONE = 1 << 17;

export const SOURCE = `
typedef double v __attribute__((vector_size(32), aligned(8)));
typedef unsigned short u16;
typedef unsigned int u32;

void troupe_product(const double *a, long rows, const double *b, long columns, long depth, double *out, long row_stride,
                    long column_stride) {
#pragma omp parallel for schedule(static)
  for (long j = 0; j < columns; j += ${COLUMNS})
    for (long i = 0; i < rows; i += ${ROWS}) {
      const double *x = a + i * depth, *y = b + j * depth;
      v s[${ROWS}][2] = {0};
      for (long k = 0; k < depth; k++, x += ${ROWS}, y += ${COLUMNS}) {
        v left = *(const v *)y, right = *(const v *)(y + 4);
        for (int r = 0; r < ${ROWS}; r++) s[r][0] += x[r] * left, s[r][1] += x[r] * right;
      }
      for (long r = 0; r < ${ROWS} && i + r < rows; r++)
        for (long c = 0; c < ${COLUMNS} && j + c < columns; c++)
          out[(i + r) * row_stride + (j + c) * column_stride] = s[r][c / 4][c % 4];
    }
}

/* x[C, H, W] with its zeros around it, w[O, C, KH, KW] -> out[O, OH, OW]. */
void troupe_convolve(const double *x, const double *w, double *out, long C, long H, long W, long O, long KH, long KW,
                     long stride, long OH, long OW) {
#pragma omp parallel for collapse(2) schedule(dynamic, 8)
  for (long y = 0; y < OH; y++)
    for (long o = 0; o < O; o += ${CHANNELS}) {
      double *s[${CHANNELS}];
      double spare[${CHANNELS}][OW];
      for (long n = 0; n < ${CHANNELS}; n++) {
        s[n] = o + n < O ? out + ((o + n) * OH + y) * OW : spare[n];
        for (long z = 0; z < OW; z++) s[n][z] = 0;
      }
      for (long c = 0; c < C; c++)
        for (long i = 0; i < KH; i++) {
          const double *line = x + (c * H + y * stride + i) * W;
          const double *tap[${CHANNELS}];
          for (long n = 0; n < ${CHANNELS}; n++) tap[n] = w + ((((o + n < O ? o + n : o) * C) + c) * KH + i) * KW;
          double *restrict s0 = s[0], *restrict s1 = s[1], *restrict s2 = s[2], *restrict s3 = s[3];
          if (KW == 3 && stride == 1)
            for (long z = 0; z < OW; z++) {
              double l = line[z], m = line[z + 1], r = line[z + 2];
              s0[z] += tap[0][0] * l + tap[0][1] * m + tap[0][2] * r;
              s1[z] += tap[1][0] * l + tap[1][1] * m + tap[1][2] * r;
              s2[z] += tap[2][0] * l + tap[2][1] * m + tap[2][2] * r;
              s3[z] += tap[3][0] * l + tap[3][1] * m + tap[3][2] * r;
            }
          else
            for (long j = 0; j < KW; j++)
              for (long z = 0; z < OW; z++) {
                double l = line[z * stride + j];
                s0[z] += tap[0][j] * l;
                s1[z] += tap[1][j] * l;
                s2[z] += tap[2][j] * l;
                s3[z] += tap[3][j] * l;
              }
        }
    }
}

static inline double from_bf16(u16 b) {
  union { u32 u; float f; } x = {(u32)b << 16};
  return x.f;
}

/* Squared differences and norms of every row (the last dim) of a strided window against dense numbers. */
#define COMPARE(name, type, load)                                                                                      \\
  void name(const type *data, long rank, const long *shape, const long *strides, const double *expected,               \\
            double *differences, double *norms) {                                                                      \\
    long width = shape[rank - 1], step = strides[rank - 1], rows = 1;                                                  \\
    for (long d = 0; d < rank - 1; d++) rows *= shape[d];                                                              \\
    _Pragma("omp parallel for schedule(static) if (rows * width > ${ALONE})") for (long row = 0; row < rows; row++) {  \\
      long at = 0;                                                                                                     \\
      for (long d = rank - 2, rest = row; d >= 0; rest /= shape[d], d--) at += rest % shape[d] * strides[d];           \\
      const double *e = expected + row * width;                                                                        \\
      double difference = 0, norm = 0;                                                                                 \\
      for (long i = 0; i < width; i++) {                                                                               \\
        double got = load(data[at + i * step]), want = e[i];                                                           \\
        int same = got == want, both = got != got && want != want;                                                     \\
        double gap = got - want;                                                                                       \\
        difference += same || both ? 0 : gap * gap;                                                                    \\
        norm += both || (same && want - want != 0) ? 0 : want * want;                                                  \\
      }                                                                                                                \\
      differences[row] = difference;                                                                                   \\
      norms[row] = norm;                                                                                               \\
    }                                                                                                                  \\
  }
COMPARE(troupe_compare_f32, float, (double))
COMPARE(troupe_compare_bf16, u16, from_bf16)
`;
