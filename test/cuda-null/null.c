// A CUDA without a GPU: the calls of the driver, NVRTC, cuBLASLt and cuDNN that troupe makes, in one library under all
// their names. Memory is real but sparse, kernels compute nothing, time passes by the launch: plans, captures, tuning and
// faults run as they would, values do not. The environment says how it misbehaves:
//   NULL_CUDA_VERSION  what the driver calls itself (13000)      NULL_CUDA_MEMORY  bytes of the device (150e9)
//   NULL_CUDA_FAULT    number of the cuBLASLt algorithm that makes an illegal access
//   NULL_CUDA_WRONG    number of the cuBLASLt algorithm whose results are judged wrong
//   NULL_CUDA_GRAPH_US how long the launch of a graph takes (0)
// A kernel called "wild" makes an illegal access.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;
enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NOT_READY = 600, ILLEGAL = 700 };
/** Bytes of a buffer that are really kept: what is read of large ones lies in front or at the end. */
#define KEPT (8 << 20)
#define TAIL (1 << 16)
#define SOON(n) ((n) < KEPT ? (n) : KEPT)
#define MOVE(to, from, n) { memmove((void *)(to), (void *)(from), SOON(n)); if ((n) > KEPT + TAIL) memmove((char *)(to) + (n) - TAIL, (char *)(from) + (n) - TAIL, TAIL); }
#define SET(to, value, n) { memset((void *)(to), value, SOON(n)); if ((n) > KEPT + TAIL) memset((char *)(to) + (n) - TAIL, value, TAIL); }

static int sticky = OK, capturing = 0, last_algorithm = -1;
static u64 launches = 0, captured = 0, used = 0;
static u64 setting(const char *name, double otherwise) { const char *text = getenv(name); return (u64)(text ? atof(text) : otherwise); }
static u64 total(void) { return setting("NULL_CUDA_MEMORY", 150e9); }
static int launch(void) { if (capturing) captured++; else launches++; return sticky; }

struct block { u64 bytes; };
static u64 take(u64 bytes) {
  u64 whole = ((bytes + 4095) & ~4095ull) + 4096;
  char *at = mmap(0, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return 0;
  ((struct block *)at)->bytes = whole;
  return (u64)at + 4096;
}
static u64 give(u64 address) { struct block *at = (void *)(address - 4096); u64 bytes = at->bytes; munmap(at, bytes); return bytes; }

int cuInit(u32 f) { return OK; }
int cuDriverGetVersion(int *out) { *out = (int)setting("NULL_CUDA_VERSION", 13000); return OK; }
int cuGetErrorName(int e, const char **out) { *out = e == ILLEGAL ? "CUDA_ERROR_ILLEGAL_ADDRESS" : e == NO_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_UNKNOWN"; return OK; }
int cuGetErrorString(int e, const char **out) { *out = e == ILLEGAL ? "an illegal memory access was encountered" : e == NO_MEMORY ? "out of memory" : "unknown"; return OK; }
int cuDeviceGetCount(int *out) { *out = 1; return OK; }
int cuDeviceGet(int *out, int ordinal) { *out = ordinal; return OK; }
int cuDeviceGetName(char *to, int bytes, int d) { snprintf(to, bytes, "null GPU"); return OK; }
int cuDeviceGetAttribute(int *out, int attribute, int d) {
  switch (attribute) { case 16: *out = 132; break; case 38: *out = 62914560; break; case 75: *out = 9; break; case 76: *out = 0; break; case 97: *out = 232448; break; default: *out = 1; }
  return OK;
}
int cuDeviceTotalMem_v2(u64 *out, int d) { *out = total(); return OK; }
int cuDevicePrimaryCtxRetain(u64 *out, int d) { *out = 1; return OK; }
int cuDevicePrimaryCtxRelease_v2(int d) { return OK; }
int cuCtxSetCurrent(u64 c) { return OK; }
int cuCtxSynchronize(void) { return sticky; }
int cuMemGetInfo_v2(u64 *free, u64 *all) { *all = total(); *free = total() - used; return sticky; }
int cuMemAlloc_v2(u64 *out, u64 bytes) {
  if (sticky) return sticky;
  if (used + bytes > total()) return NO_MEMORY;
  *out = take(bytes);
  if (!*out) return NO_MEMORY;
  used += ((struct block *)(*out - 4096))->bytes;
  return OK;
}
int cuMemFree_v2(u64 address) { if (sticky) return sticky; used -= give(address); return OK; }
int cuMemHostAlloc(u64 *out, u64 bytes, u32 f) { *out = take(bytes); return *out ? sticky : NO_MEMORY; }
int cuMemFreeHost(u64 address) { give(address); return sticky; }
int cuMemcpyHtoD_v2(u64 to, void *from, u64 n) { MOVE(to, from, n) return sticky; }
int cuMemcpyDtoH_v2(void *to, u64 from, u64 n) { MOVE(to, from, n) return sticky; }
int cuMemcpyHtoDAsync_v2(u64 to, void *from, u64 n, u64 s) { if (!capturing) MOVE(to, from, n) return launch(); }
int cuMemcpyDtoHAsync_v2(void *to, u64 from, u64 n, u64 s) { if (!capturing) MOVE(to, from, n) return launch(); }
int cuMemcpyDtoDAsync_v2(u64 to, u64 from, u64 n, u64 s) { if (!capturing) MOVE(to, from, n) return launch(); }
int cuMemsetD8_v2(u64 to, unsigned char value, u64 n) { SET(to, value, n) return sticky; }
int cuMemsetD8Async(u64 to, unsigned char value, u64 n, u64 s) { if (!capturing) SET(to, value, n) return launch(); }
int cuMemsetD32Async(u64 to, u32 value, u64 n, u64 s) { if (!capturing) for (u64 i = 0; i < n && i < KEPT / 4; i++) ((u32 *)to)[i] = value; return launch(); }

int cuStreamCreate(u64 *out, u32 f) { *out = (u64)malloc(8); return sticky; }
int cuStreamSynchronize(u64 s) { return sticky; }
int cuStreamWaitEvent(u64 s, u64 e, u32 f) { return sticky; }
int cuStreamDestroy_v2(u64 s) { free((void *)s); return sticky; }
int cuStreamBeginCapture_v2(u64 s, int mode) { capturing = 1; captured = 0; return sticky; }
int cuStreamEndCapture(u64 s, u64 *out) { capturing = 0; u64 *graph = malloc(8); *graph = captured; *out = (u64)graph; return sticky; }
int cuGraphInstantiateWithFlags(u64 *out, u64 graph, u64 f) { u64 *exec = malloc(8); *exec = *(u64 *)graph; *out = (u64)exec; return sticky; }
int cuGraphUpload(u64 e, u64 s) { return sticky; }
int cuGraphLaunch(u64 e, u64 s) { usleep((u32)setting("NULL_CUDA_GRAPH_US", 0)); launches += *(u64 *)e; return sticky; }
int cuGraphExecDestroy(u64 e) { free((void *)e); return sticky; }
int cuGraphDestroy(u64 g) { free((void *)g); return sticky; }
/** When it was recorded, and whether it has been asked for since: the first answer is "not yet". */
struct event { u64 at, asked; };
int cuEventCreate(u64 *out, u32 f) { *out = (u64)calloc(1, sizeof(struct event)); return sticky; }
int cuEventRecord(u64 e, u64 s) { *(struct event *)e = (struct event){launches, 0}; return sticky; }
int cuEventQuery(u64 e) { return sticky ? sticky : ((struct event *)e)->asked++ ? OK : NOT_READY; }
int cuEventSynchronize(u64 e) { return sticky; }
int cuEventElapsedTime_v2(float *ms, u64 a, u64 b) { *ms = 0.002f + 0.01f * (float)(*(u64 *)b - *(u64 *)a); return sticky; }
int cuEventDestroy_v2(u64 e) { free((void *)e); return sticky; }

/** A function is its name. */
int cuModuleLoadData(u64 *out, void *image) { *out = 1; return sticky; }
int cuModuleUnload(u64 m) { return sticky; }
int cuModuleGetFunction(u64 *out, u64 m, const char *name) { *out = (u64)strdup(name); return sticky; }
int cuFuncGetAttribute(int *out, int a, u64 fn) { *out = 0; return sticky; }
int cuFuncSetAttribute(u64 fn, int a, int v) { return sticky; }
int cuOccupancyMaxActiveClusters(int *out, u64 fn, void *config) { *out = 66; return sticky; }
int cuTensorMapEncodeTiled(void *out, int d, u32 r, u64 a, void *x, void *y, void *z, void *w, int i, int s, int p, int f) { memset(out, 0, 128); return OK; }
/** Judges of values find no difference, unless the algorithm that ran last is one to be judged wrong. */
int cuLaunchKernel(u64 fn, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, u64 s, void **params, void **extra) {
  if (!strcmp((char *)fn, "wild")) sticky = ILLEGAL;
  if (!capturing && !strcmp((char *)fn, "row_errors")) {
    double *out = *(double **)params[2];
    long long rows = *(long long *)params[3];
    for (long long row = 0; row < rows; row++) { out[2 * row] = last_algorithm >= 0 && last_algorithm == (int)setting("NULL_CUDA_WRONG", -2) ? 1 : 0; out[2 * row + 1] = 1; }
  }
  return launch();
}

int nvrtcVersion(int *major, int *minor) { *major = 13; *minor = 0; return OK; }
int nvrtcCreateProgram(u64 *out, const char *source, const char *name, int n, void *h, void *i) { *out = 1; return OK; }
int nvrtcCompileProgram(u64 p, int n, const char **options) { return OK; }
int nvrtcGetProgramLogSize(u64 p, u64 *out) { *out = 0; return OK; }
int nvrtcGetProgramLog(u64 p, char *out) { return OK; }
int nvrtcGetCUBINSize(u64 p, u64 *out) { *out = 4; return OK; }
int nvrtcGetCUBIN(u64 p, char *out) { memcpy(out, "null", 4); return OK; }
int nvrtcDestroyProgram(u64 *p) { return OK; }

int cublasLtCreate(u64 *out) { *out = 1; return OK; }
u64 cublasLtGetVersion(void) { return 130000; }
int cublasLtMatmulDescCreate(u64 *out, int c, int s) { *out = 1; return OK; }
int cublasLtMatmulDescDestroy(u64 d) { return OK; }
int cublasLtMatmulDescSetAttribute(u64 d, int a, void *v, u64 n) { return OK; }
int cublasLtMatrixLayoutCreate(u64 *out, int t, u64 r, u64 c, int64_t ld) { *out = 1; return OK; }
int cublasLtMatrixLayoutDestroy(u64 l) { return OK; }
int cublasLtMatrixLayoutSetAttribute(u64 l, int a, void *v, u64 n) { return OK; }
int cublasLtMatmulPreferenceCreate(u64 *out) { *out = 1; return OK; }
int cublasLtMatmulPreferenceDestroy(u64 p) { return OK; }
int cublasLtMatmulPreferenceSetAttribute(u64 p, int a, void *v, u64 n) { return OK; }
/** Three algorithms: the first byte is the number. */
int cublasLtMatmulAlgoGetHeuristic(u64 h, u64 d, u64 a, u64 b, u64 c, u64 e, u64 p, int wanted, char *results, int *found) {
  *found = wanted < 3 ? wanted : 3;
  for (int i = 0; i < *found; i++) { memset(results + 96 * i, 0, 96); results[96 * i] = (char)i; }
  return OK;
}
/** One more family to search, of two tiles and no other freedom. */
int cublasLtMatmulAlgoGetIds(u64 h, int c, int s, int a, int b, int cc, int d, int wanted, int *ids, int *found) { ids[0] = 7; *found = 1; return OK; }
int cublasLtMatmulAlgoInit(u64 h, int c, int s, int a, int b, int cc, int d, int id, char *algo) { memset(algo, 0, 64); algo[0] = (char)id; return OK; }
int cublasLtMatmulAlgoCapGetAttribute(char *algo, int attribute, void *out, u64 bytes, u64 *written) {
  *written = 0;
  if (attribute == 6) { if (bytes >= 8) { ((u32 *)out)[0] = 15; ((u32 *)out)[1] = 20; } *written = 8; return OK; }
  if (out && bytes >= 4) { memset(out, 0, bytes); *written = 4; }
  return OK;
}
int cublasLtMatmulAlgoConfigSetAttribute(char *algo, int attribute, void *value, u64 bytes) { if (attribute < 32) algo[1 + attribute] = *(char *)value; return OK; }
int cublasLtMatmulAlgoCheck(u64 h, u64 d, u64 a, u64 b, u64 c, u64 e, char *algo, char *result) { memset(result, 0, 96); memcpy(result, algo, 64); return OK; }
int cublasLtMatmul(u64 h, u64 desc, void *alpha, u64 a, u64 al, u64 b, u64 bl, void *beta, u64 c, u64 cl, u64 d, u64 dl, char *algo, u64 w, u64 n, u64 s) {
  last_algorithm = algo[0];
  if (algo[0] == (char)setting("NULL_CUDA_FAULT", -2)) sticky = ILLEGAL;
  return launch() ? 13 : OK;
}

int cudnnCreate(u64 *out) { *out = 1; return OK; }
u64 cudnnGetVersion(void) { return 91400; }
void cudnnGetLastErrorString(char *to, u64 bytes) { *to = 0; }
int cudnnSetStream(u64 h, u64 s) { return OK; }
int cudnnBackendCreateDescriptor(int type, u64 *out) { *out = 1; return OK; }
int cudnnBackendDestroyDescriptor(u64 d) { return OK; }
int cudnnBackendFinalize(u64 d) { return OK; }
int cudnnBackendSetAttribute(u64 d, int a, int t, int64_t n, void *e) { return OK; }
/** Two engines for everything, without workspace. */
int cudnnBackendGetAttribute(u64 d, int attribute, int type, int64_t wanted, int64_t *count, void *elements) {
  if (attribute == 202) *count = wanted == 0 || wanted > 2 ? 2 : wanted;
  else { *count = 1; *(int64_t *)elements = 0; }
  return OK;
}
int cudnnBackendExecute(u64 h, u64 plan, u64 pack) { return launch(); }
