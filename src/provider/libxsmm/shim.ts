// The C between libxsmm and the step table: a product cut into blocks, each a call of a kernel that libxsmm generates in
// memory. libxsmm is column-major, so its m are our columns and its first operand is our right one: c = a · b has the
// columns of b in vectors. The team's threads share the blocks.

/** Columns of a panel: four vectors of 16 floats, which libxsmm blocks with six rows in registers. */
export const PANEL = 64;

/** The 64-bit integers of a product, in the order in which they lie. Strides count elements. */
export const FIELDS = [
  /** 4: f32; 2: bf16, whose right side lies in pairs of terms. */
  "elementBytes",
  /** Sizes of the product c[rows, columns] = a[rows, terms] · b[terms, columns]. */
  "rows",
  "columns",
  "terms",
  /** What a kernel computes: so many rows over so many terms. */
  "blockRows",
  "blockTerms",
  "aRow",
  "cRow",
  /** From one term of the right side to the next as kernels read it: PANEL where it is packed. */
  "bTerm",
  /** 1: the right side is given as a pack; 1: it is packed into the workspace at every run. */
  "isPacked",
  "copies",
  /** Strides of the right side as it lies, for packing. */
  "bRow",
  "bColumn",
  /** 1: c starts as a vector, with these strides; 1: as (or with) what lies like c elsewhere. */
  "hasBias",
  "biasRow",
  "biasColumn",
  "hasResidual",
  /** How many products, and for each three offsets: of a, b and c. */
  "batches",
  "offsets",
] as const;

/** One kernel for each of: last columns or not, last rows or not, last terms or not, c begun or not. */
export const KERNELS = 16;

/** @param stamp of the library, so that another one is linked anew */
export const shimSource = (stamp: string): string => `/* ${stamp} */
#include <libxsmm.h>
#include <stdlib.h>
#include <string.h>
typedef void (*kernel)(const void *, const void *, void *);
typedef struct { long ${FIELDS.join(", ")}; kernel kernels[${KERNELS}]; } product;

const char *troupe_xsmm_version(void) { return LIBXSMM_VERSION; }
/* libxsmm puts OMP_PROC_BIND into the environment of whoever calls it; how threads are bound is not its business. */
static void begin(void) {
  const char *bind = getenv("OMP_PROC_BIND");
  const int isSet = bind && *bind;
  libxsmm_init();
  if (!isSet) unsetenv("OMP_PROC_BIND");
}
const char *troupe_xsmm_target(void) { begin(); return libxsmm_get_target_arch(); }
int troupe_xsmm_target_id(void) { begin(); return libxsmm_get_target_archid(); }

static long least(long a, long b) { return a < b ? a : b; }
static long parts(long whole, long part) { return (whole + part - 1) / part; }
static long panel_bytes(const product *p) { return parts(p->terms, 4 / p->elementBytes) * ${PANEL} * 4; }

/* Generates the kernels; 1 where libxsmm refuses one. */
int troupe_xsmm_prepare(product *p) {
  for (int i = 0; i < ${KERNELS}; i++) {
    const long lastColumns = i & 1, lastRows = i & 2, lastTerms = i & 4;
    const float begun = i & 8 ? 1 : 0;
    const long columns = lastColumns ? p->columns % ${PANEL} : least(p->columns, ${PANEL});
    const long rows = lastRows ? p->rows % p->blockRows : least(p->rows, p->blockRows);
    const long terms = lastTerms ? p->terms % p->blockTerms : least(p->terms, p->blockTerms);
    const int lda = p->bTerm, ldb = p->aRow, ldc = p->cRow, none = 0, pairs = LIBXSMM_GEMM_FLAG_VNNI_A;
    p->kernels[i] = 0;
    if (!columns || !rows || !terms) continue;
    p->kernels[i] = p->elementBytes == 4
      ? (kernel)libxsmm_smmdispatch(columns, rows, terms, &lda, &ldb, &ldc, 0, &begun, &none, &none)
      : (kernel)libxsmm_bmmdispatch(columns, rows, terms, &lda, &ldb, &ldc, 0, &begun, &pairs, &none);
    if (!p->kernels[i]) return 1;
  }
  return 0;
}

#define PACK(NAME, TYPE, GROUP) \\
  static void NAME(const product *p, const TYPE *from, TYPE *to, long first) { \\
    for (long c = 0; c < ${PANEL}; c++) for (long t = 0; t < parts(p->terms, GROUP) * GROUP; t++) \\
      to[(t / GROUP * ${PANEL} + c) * GROUP + t % GROUP] = first + c < p->columns && t < p->terms \\
        ? from[t * p->bRow + (first + c) * p->bColumn] : 0; \\
  }
PACK(pack_f32, float, 1)
PACK(pack_bf16, unsigned short, 2)

static void pack(const product *p, const char *from, char *to, long panel) {
  to += panel * panel_bytes(p);
  if (p->elementBytes == 4) pack_f32(p, (const float *)from, (float *)to, panel * ${PANEL});
  else pack_bf16(p, (const unsigned short *)from, (unsigned short *)to, panel * ${PANEL});
}

void troupe_xsmm_pack(const product *p, const char *from, char *to) {
  for (long panel = 0; panel < parts(p->columns, ${PANEL}); panel++) pack(p, from, to, panel);
}

/* What a block of c starts as. bf16 has one of the two only, for a sum would be rounded. */
static void start(const product *p, char *c, const char *bias, const char *residual, long rows, long columns) {
  const long e = p->elementBytes;
  for (long r = 0; r < rows; r++, c += p->cRow * e, residual += p->cRow * e, bias += p->biasRow * e) {
    if (p->hasResidual && residual != c) memcpy(c, residual, columns * e);
    if (!p->hasBias) continue;
    if (e == 2) for (long i = 0; i < columns; i++) ((short *)c)[i] = ((const short *)bias)[i * p->biasColumn];
    else if (p->hasResidual) for (long i = 0; i < columns; i++) ((float *)c)[i] += ((const float *)bias)[i * p->biasColumn];
    else for (long i = 0; i < columns; i++) ((float *)c)[i] = ((const float *)bias)[i * p->biasColumn];
  }
}

/* b is packed, or read as it lies, or packed into the workspace first. Absent operands are never touched. */
void troupe_xsmm_run(const product *p, const char *a, const char *b, char *c, const char *bias, const char *residual, char *workspace) {
  const long panels = parts(p->columns, ${PANEL}), groups = parts(p->rows, p->blockRows), e = p->elementBytes;
  const long *offsets = (const long *)p->offsets;
  if (p->copies) {
    #pragma omp parallel for
    for (long i = 0; i < p->batches * panels; i++)
      pack(p, b + offsets[i / panels * 3 + 1] * e, workspace + i / panels * panels * panel_bytes(p), i % panels);
  }
  #pragma omp parallel for
  for (long i = 0; i < p->batches * panels * groups; i++) {
    const long batch = i / (panels * groups), panel = i / groups % panels, row = i % groups * p->blockRows;
    const long columns = least(${PANEL}, p->columns - panel * ${PANEL}), rows = least(p->blockRows, p->rows - row);
    const long at = offsets[batch * 3 + 2] + row * p->cRow + panel * ${PANEL};
    const char *left = a + (offsets[batch * 3] + row * p->aRow) * e;
    const char *right = p->copies ? workspace + (batch * panels + panel) * panel_bytes(p)
      : p->isPacked ? b + panel * panel_bytes(p) : b + (offsets[batch * 3 + 1] + panel * ${PANEL}) * e;
    char *out = c + at * e;
    const int begins = p->hasBias || p->hasResidual;
    if (begins) start(p, out, bias + (row * p->biasRow + panel * ${PANEL} * p->biasColumn) * e, residual + at * e, rows, columns);
    const int block = (columns < least(${PANEL}, p->columns)) | (rows < least(p->blockRows, p->rows)) << 1;
    for (long t = 0; t < p->terms; t += p->blockTerms) {
      const int isLast = p->terms - t < least(p->blockTerms, p->terms);
      p->kernels[block | isLast << 2 | (begins || t) << 3](right + t * p->bTerm * e, left + t * e, out);
    }
  }
}
`;
