# FLUX.1-schnell at full size by diffusers, random weights, 1024x1024, 256 text tokens, bf16: one denoise step, one decode,
# and, at batch 1, 4 steps + decode as one run from latents to pixels. It does what bench/cuda-flux.ts and cuda-batch.ts do,
# on the same GPU; figures are of whole batches, and each is kept as soon as it is there.
# usage: python3 bench/cuda/diffusers_flux.py [--out FILE.jsonl] [--batches 1,16,32] [--slices 1,4] [eager] [compile]
#   --batches  pictures of a step    --slices  pictures of a decode, which takes a batch in such slices
#   eager    as it comes
#   compile  as flux-fast does it in bf16: fused QKV, cuDNN attention, decoder channels-last, torch.compile reduce-overhead
import argparse, ctypes, gc, json, time
import torch
import torch._inductor.config as inductor
from torch.nn.attention import SDPBackend, sdpa_kernel

try:
    import diffusers
    from diffusers import AutoencoderKL, FluxTransformer2DModel
except ImportError as error:
    raise SystemExit(f"diffusers is not installed here ({error}): pip install diffusers, or put its src on PYTHONPATH")

STEPS, RUNS, FEWEST_RUNS, ENOUGH_MS, WARM_UP_S, WARM_UP_RUNS, ENERGY_MS = 4, 7, 3, 5000, 1.0, 2, 2500
parser = argparse.ArgumentParser()
parser.add_argument("--out")
parser.add_argument("--batches", default="1")
parser.add_argument("--slices", default="1,4")
parser.add_argument("ways", nargs="*", default=["eager", "compile"])
flags = parser.parse_args()
BF16, GPU = torch.bfloat16, torch.device("cuda")
torch.manual_seed(0)


def tell(what, **figures):
    print(f"{what}: " + ", ".join(f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()), flush=True)
    if flags.out:
        with open(flags.out, "a") as file:
            file.write(json.dumps({"what": what, **figures}) + "\n")


def milliseconds(what, work):
    """
    Median of some runs by events, each told; long work runs less often. Before them a second of work that does not count,
    two runs at least: reduce-overhead captures in the second.
    """
    begun, warm = time.perf_counter(), 0
    while warm < WARM_UP_RUNS or time.perf_counter() < begun + WARM_UP_S:
        work()
        torch.cuda.synchronize()
        warm += 1
    times = []
    while len(times) < RUNS and (len(times) < FEWEST_RUNS or sum(times) < ENOUGH_MS):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
        print(f"{what}, run {len(times)}: {times[-1]:.1f} ms", flush=True)
    return sorted(times)[len(times) // 2]


def joules_so_far():
    """What the GPU has consumed, by NVML's counter, which moves every tenth of a second or so; None where it is missing."""
    try:
        library, device, millijoules = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_void_p(), ctypes.c_ulonglong()
        library.nvmlInit_v2()
        library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device))
        failed = library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules))
        return None if failed else millijoules.value / 1e3
    except (OSError, AttributeError):
        return None


def joules_of(work, ms):
    """Joules of one run that takes so long, as the mean of as many as the counter needs."""
    runs = max(3, round(ENERGY_MS / ms))
    torch.cuda.synchronize()
    before = joules_so_far()
    for _ in range(runs):
        work()
        torch.cuda.synchronize()
    return None if before is None else (joules_so_far() - before) / runs


def build():
    with GPU:
        torch.set_default_dtype(BF16)
        transformer = FluxTransformer2DModel(
            patch_size=1, in_channels=64, num_layers=19, num_single_layers=38, attention_head_dim=128, num_attention_heads=24,
            joint_attention_dim=4096, pooled_projection_dim=768, guidance_embeds=False)
        decoder = AutoencoderKL(
            in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=16, norm_num_groups=32,
            sample_size=1024, use_quant_conv=False, use_post_quant_conv=False)
        torch.set_default_dtype(torch.float32)
    return transformer.eval(), decoder.eval()


def random(*shape): return torch.randn(*shape, device=GPU, dtype=BF16)


def numbers(text): return [int(part) for part in text.split(",") if part]


def first(what, work):
    """Seconds of a first run: allocation, compilation."""
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    print(f"{what}, first run: {seconds:.1f} s", flush=True)
    return seconds


def fitting(what, work):
    """The result, or None, told, where the GPU's memory does not hold the work."""
    try:
        return work()
    except torch.cuda.OutOfMemoryError as error:
        tell(what, failed=f"out of memory: {error}".splitlines()[0])
        return None
    finally:
        gc.collect()
        torch.cuda.empty_cache()


def measure(name, transformer, decode):
    rows = torch.arange(64, device=GPU, dtype=BF16)
    places = torch.stack([torch.zeros(4096, device=GPU, dtype=BF16), rows.repeat_interleave(64), rows.repeat(64)], 1)

    def step_of(batch):
        fixed = dict(
            timestep=torch.full([batch], 0.7, device=GPU, dtype=BF16), guidance=None,
            pooled_projections=random(batch, 768), encoder_hidden_states=random(batch, 256, 4096),
            txt_ids=torch.zeros(256, 3, device=GPU, dtype=BF16), img_ids=places, return_dict=False)

        def step(x):
            torch.compiler.cudagraph_mark_step_begin()
            return transformer(hidden_states=x, **fixed)[0]

        return step

    def decode_each(pictures):
        latents, what = random(pictures, 16, 128, 128), f"diffusers {name} decode of {pictures}"
        seconds = first(what, lambda: decode(latents))
        each = milliseconds(what, lambda: decode(latents)) / pictures
        tell(what, each=each, setupSeconds=seconds)
        return each

    def step_ms(batch, step, noise):
        what = f"diffusers {name} step of {batch}"
        seconds = first(what, lambda: step(noise))
        one = milliseconds(what, lambda: step(noise))
        joules = joules_of(lambda: step(noise), one)
        tell(what, ms=one, each=one / batch, setupSeconds=seconds, **({} if joules is None else {"joulesEach": joules / batch}))
        return one

    decodes = {}
    for pictures in numbers(flags.slices):
        decodes[pictures] = fitting(f"diffusers {name} decode of {pictures}", lambda: decode_each(pictures))
    for batch in numbers(flags.batches):
        step, noise = step_of(batch), random(batch, 4096, 64)
        one = fitting(f"diffusers {name} step of {batch}", lambda: step_ms(batch, step, noise))
        if batch > 1 or one is None or decodes.get(1) is None:
            continue

        def picture():
            x = noise
            for _ in range(STEPS):
                x = x - 0.25 * step(x)
            unpacked = x.view(1, 64, 64, 16, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(1, 16, 128, 128)
            return decode(unpacked)

        last = decodes[1]
        run = milliseconds(f"diffusers {name}, one run", picture)
        tell(f"diffusers {name}", step=one, decode=last, run=run, stepsAndDecode=STEPS * one + last)


with torch.no_grad():
    tell("diffusers machine", gpu=torch.cuda.get_device_name(0), torch=torch.__version__, diffusers=diffusers.__version__, date=time.strftime("%Y-%m-%d"))
    transformer, vae = build()
    if "eager" in flags.ways:
        measure("eager", transformer, lambda z: vae.decode(z, return_dict=False)[0])
    if "compile" in flags.ways:
        transformer.fuse_qkv_projections()
        vae.fuse_qkv_projections()
        vae.to(memory_format=torch.channels_last)
        inductor.conv_1x1_as_mm, inductor.epilogue_fusion = True, False
        compiled = torch.compile(transformer, mode="reduce-overhead", fullgraph=True, dynamic=False)
        decode = torch.compile(vae.decode, mode="reduce-overhead", fullgraph=True, dynamic=False)
        with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]):
            measure("torch.compile", compiled, lambda z: decode(z, return_dict=False)[0])
