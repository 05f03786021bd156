# Times torch's matmul and attention as the spike times ours: random bf16, rotating buffers, graph replay, CUDA events.
import json, sys, torch
import torch.nn.functional as F
from torch.nn.attention import sdpa_kernel, SDPBackend

def replayed_us(calls, launches, replays=14):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for call in calls: call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(launches): calls[i % len(calls)]()
    times = []
    for replay in range(replays):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record(); graph.replay(); end.record(); end.synchronize()
        if replay >= 3: times.append(start.elapsed_time(end) * 1000 / launches)
    times.sort()
    return times[len(times) // 2]

def report(name, flops, make):
    try:
        launches = max(4, min(64, int(4e-3 / (flops / 6e14)))) & ~3
        us = replayed_us([make() for _ in range(4)], launches)
        print(json.dumps({"id": name, "us": us, "tflops": flops / us / 1e6}), flush=True)
    except Exception as error:
        print(json.dumps({"id": name, "failed": str(error)[:200]}), flush=True)

def random(*shape): return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)

def matmul(m, n, k):
    def make():
        a, b, c = random(m, k), random(n, k), random(m, n)
        return lambda: torch.matmul(a, b.t(), out=c)
    return make

def attention(h, s, d, backend, causal):
    def make():
        q, k, v = random(1, h, s, d), random(1, h, s, d), random(1, h, s, d)
        def call():
            with sdpa_kernel(backend): F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return call
    return make

def linear(m, n, k, kind):
    def make():
        a, w, bias, gate, x = random(m, k), random(n, k), random(n), random(n), random(m, n)
        if kind == "plain": return lambda: F.linear(a, w, bias)
        if kind == "gelu": return lambda: F.gelu(F.linear(a, w, bias), approximate="tanh")
        return lambda: torch.addcmul(x, F.linear(a, w, bias), gate)
    return make

print(json.dumps({"torch": torch.__version__, "device": torch.cuda.get_device_name(0), "cuda": torch.version.cuda}))
report("torch.matmul 4096", 2 * 4096**3, matmul(4096, 4096, 4096))
if "quick" not in sys.argv:
    report("torch.matmul 8192", 2 * 8192**3, matmul(8192, 8192, 8192))
    report("torch linear+gate+residual 4352x3072x3072", 2 * 4352 * 3072 * 3072, linear(4352, 3072, 3072, "gate"))
    report("torch linear+gate+residual 4352x3072x12288", 2 * 4352 * 3072 * 12288, linear(4352, 3072, 12288, "gate"))
    report("torch linear alone 4352x3072x3072", 2 * 4352 * 3072 * 3072, linear(4352, 3072, 3072, "plain"))
    report("torch linear alone 4352x3072x12288", 2 * 4352 * 3072 * 12288, linear(4352, 3072, 12288, "plain"))
    report("torch linear alone 4352x12288x3072", 2 * 4352 * 12288 * 3072, linear(4352, 12288, 3072, "plain"))
    report("torch linear+gelu 4352x12288x3072", 2 * 4352 * 12288 * 3072, linear(4352, 12288, 3072, "gelu"))
flops = 4 * 24 * 4352 * 4352 * 128
report("sdpa cudnn 24x4352x128", flops, attention(24, 4352, 128, SDPBackend.CUDNN_ATTENTION, False))
report("sdpa flash 24x4352x128", flops, attention(24, 4352, 128, SDPBackend.FLASH_ATTENTION, False))
if "quick" not in sys.argv: report("sdpa cudnn causal 24x4352x128", flops / 2, attention(24, 4352, 128, SDPBackend.CUDNN_ATTENTION, True))
