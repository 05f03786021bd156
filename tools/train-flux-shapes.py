"""Train flux-shapes, a FLUX.1 in miniature that draws coloured shapes, and save it in the diffusers folder layout.

Needs a CUDA GPU, torch, diffusers, transformers, tokenizers and safetensors. Pictures and captions are made up here, so
nobody else's data goes into the weights. The steps, in order: tokenizers from captions; an autoencoder on drawn pictures;
a pool of latents; text encoders and transformer together by flow matching; an exponential moving average saved in bf16;
golden vectors from the saved weights in float32; a count of how well pictures follow their prompts.

usage: python tools/train-flux-shapes.py OUT_DIR [--vae-seconds 90] [--seconds 300] [--pool 120000] [--batch 512] [--compile 1]
"""

import argparse
import collections
import json
import math
import os
import random
import re
import time

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FluxTransformer2DModel
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

DEVICE = "cuda"
SIZE = 256
T5_LENGTH, CLIP_LENGTH = 64, 77
T5_PAD, CLIP_PAD = 0, 1
STEPS = 4

COLORS = {
    "red": (220, 40, 40), "green": (40, 170, 70), "blue": (50, 80, 220), "yellow": (245, 215, 50), "orange": (245, 140, 30),
    "purple": (140, 60, 180), "pink": (245, 130, 180), "cyan": (60, 200, 220), "white": (245, 245, 245), "black": (20, 20, 20),
}
GROUNDS = {"white": (250, 250, 250), "black": (12, 12, 12), "gray": (128, 128, 128), "brown": (110, 75, 45), "navy": (20, 30, 80)}
SHAPES = ["circle", "square", "triangle", "diamond", "ring", "cross", "star"]
PLACES = {
    "in the top left": (0, 0), "at the top": (1, 0), "in the top right": (2, 0),
    "on the left": (0, 1), "in the center": (1, 1), "on the right": (2, 1),
    "in the bottom left": (0, 2), "at the bottom": (1, 2), "in the bottom right": (2, 2),
}
RADIUS = {"small": 19.0, "large": 33.0}


# ---- scenes, captions, pictures

def scene(rng):
    """A ground and one to three objects at different places, none in the ground's colour."""
    count = rng.choice([1, 1, 2, 2, 2, 3])
    ground = rng.choice(list(GROUNDS))
    objects = []
    for place in rng.sample(list(PLACES), count):
        color = rng.choice([c for c in COLORS if c != ground])
        objects.append(dict(color=color, shape=rng.choice(SHAPES), size=rng.choice(list(RADIUS)), place=place))
    return ground, objects


def caption(ground, objects, rng):
    """A sentence for a scene in one of several forms."""
    parts = []
    for o in objects:
        if o["color"][0] in "aeiou":
            rng.random()  # unused; keeps the stream, and with it the golden captions, as it was
        thing = f"a {o['size']} {o['color']} {o['shape']}"
        parts.append(f"{thing} {o['place']}" if rng.random() < 0.8 else f"{o['place']} {thing}")
    body = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    form = rng.random()
    if form < 0.5:
        return f"{body}, on a {ground} background"
    return f"{body} on {ground}" if form < 0.75 else f"a {ground} background with {body}"


def centre(place):
    column, row = PLACES[place]
    return 48 + 80 * column, 48 + 80 * row


def tensors(scenes, rng):
    """Ground colours [B, 3] and objects [B, 3, 7]: centre x and y, radius (0 = absent), shape, colour. Slightly jittered."""
    grounds = torch.zeros(len(scenes), 3)
    objects = torch.zeros(len(scenes), 3, 7)
    for i, (ground, things) in enumerate(scenes):
        grounds[i] = torch.tensor(GROUNDS[ground]) / 127.5 - 1
        for j, o in enumerate(things):
            x, y = centre(o["place"])
            x, y = x + rng.uniform(-6, 6), y + rng.uniform(-6, 6)
            radius = RADIUS[o["size"]] * rng.uniform(0.95, 1.05)
            objects[i, j] = torch.tensor([x, y, radius, SHAPES.index(o["shape"]), *[c / 127.5 - 1 for c in COLORS[o["color"]]]])
    return grounds.to(DEVICE), objects.to(DEVICE)


def distances(x, y):
    """Signed distance to the edge of each shape in SHAPES, in units of the radius; y points down."""
    radial = (x * x + y * y).sqrt()
    ax, ay = x.abs(), y.abs()
    fold = ((torch.atan2(x, -y) / (2 * math.pi / 5) % 1) * 2 - 1).abs()
    upright, lying = torch.maximum(ax / 0.95, ay / 0.3), torch.maximum(ay / 0.95, ax / 0.3)
    return [
        radial - 0.9,
        torch.maximum(ax, ay) - 0.8,
        torch.maximum(ax * 0.866 - y * 0.5, y) - 0.5,
        ax + ay - 0.95,
        (radial - 0.68).abs() - 0.2,
        (torch.minimum(upright, lying) - 1) * 0.35,
        (radial - (0.38 + 0.57 * fold**1.4)) * 0.7,
    ]


@torch.no_grad()
def render(grounds, objects):
    """Pictures [B, 3, SIZE, SIZE] in [-1, 1], edges one pixel soft."""
    batch = grounds.shape[0]
    axis = torch.arange(SIZE, device=DEVICE) + 0.5
    image = grounds.view(batch, 3, 1, 1).expand(batch, 3, SIZE, SIZE).clone()
    for j in range(3):
        o = objects[:, j]
        radius = o[:, 2].clamp(min=1e-3).view(batch, 1, 1)
        x = (axis.view(1, 1, -1) - o[:, 0].view(batch, 1, 1)) / radius
        y = (axis.view(1, -1, 1) - o[:, 1].view(batch, 1, 1)) / radius
        shape = o[:, 3].long().view(batch, 1, 1)
        distance = torch.zeros_like(x + y)
        for i, candidate in enumerate(distances(x, y)):
            distance = torch.where(shape == i, candidate, distance)
        cover = ((0.5 - distance * radius).clamp(0, 1) * (o[:, 2] > 0).view(batch, 1, 1)).unsqueeze(1)
        image = image * (1 - cover) + o[:, 4:7].view(batch, 3, 1, 1) * cover
    return image


def draw(count, rng):
    scenes = [scene(rng) for _ in range(count)]
    return scenes, render(*tensors(scenes, rng))


# ---- tokenizers

def t5_tokenizer(corpus):
    """Unigram over the corpus's words, with single letters to spell anything else."""
    counts = collections.Counter(re.findall(r"[a-z]+", " ".join(corpus)))
    total = sum(counts.values())
    letters = "\u2581abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?-"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("\u2581" + word, math.log(n / total)) for word, n in counts.most_common()]
    pieces += [(c, -12.0 if c != "," else -3.0) for c in letters]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def clip_tokenizer(corpus):
    """CLIP's byte-level BPE, trained on the corpus."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE(unk_token=end, end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    pieces = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    split = pre_tokenizers.Split(pieces, behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=760, special_tokens=[start, end], initial_alphabet=alphabet, end_of_word_suffix="</w>", continuing_subword_prefix=""))
    tokenizer.post_processor = processors.RobertaProcessing((end, 1), (start, 0), trim_offsets=False, add_prefix_space=False)
    return tokenizer


def encode(tokenizer, texts, length, pad):
    """Ids [B, length]; both tokenizers end with id 1, which a truncated text keeps as its last."""
    rows = []
    for encoding in tokenizer.encode_batch(texts):
        ids = encoding.ids[:length]
        if len(encoding.ids) > length:
            ids[-1] = 1
        rows.append(ids + [pad] * (length - len(ids)))
    return torch.tensor(rows)


# ---- training

def cosine(fraction, floor):
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * fraction))


def autoencoder_loss(image, decoded, mean):
    edges = F.l1_loss(decoded[..., 1:] - decoded[..., :-1], image[..., 1:] - image[..., :-1])
    edges = edges + F.l1_loss(decoded[..., 1:, :] - decoded[..., :-1, :], image[..., 1:, :] - image[..., :-1, :])
    spread = 1e-4 * (mean.float() ** 2).mean() + 1e-2 * F.relu(mean.float().abs() - 5).mean()
    return F.l1_loss(decoded, image) + 4 * F.mse_loss(decoded, image) + 0.5 * edges + spread


def train_autoencoder(vae, rng, seconds, compiled):
    """Trains in channels-last with a little noise on the latents; returns the model frozen, in the plain layout."""
    def forward(image):
        latents = vae.encode(image).latent_dist
        return vae.decode(latents.mean + 0.05 * torch.randn_like(latents.mean)).sample, latents.mean

    run = torch.compile(forward) if compiled else forward
    vae.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, weight_decay=0, fused=True)
    bank = torch.cat([draw(256, rng)[1] for _ in range(16)])
    started, step = time.time(), 0
    while (fraction := (time.time() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 100) * cosine(fraction, 0.02)
        image = bank[torch.randint(0, bank.shape[0], (48,), device=DEVICE)]
        image = image.flip(-1) if step % 2 else image
        with torch.autocast("cuda", torch.bfloat16):
            decoded, mean = run(image)
        loss = autoencoder_loss(image, decoded.float(), mean)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 200 == 0:
            print("vae", step, round(time.time() - started), float(loss), flush=True)
        step += 1
    vae.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        image = draw(64, rng)[1]
        decoded = vae.decode(vae.encode(image).latent_dist.mean).sample
    print("vae steps", step, "psnr", float(10 * torch.log10(4 / F.mse_loss(decoded, image))), flush=True)


def pack(latents):
    return latents.view(-1, 16, 16, 2, 16, 2).permute(0, 2, 4, 1, 3, 5).reshape(-1, 256, 64)


def unpack(tokens):
    return tokens.view(-1, 16, 16, 16, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(-1, 16, 32, 32)


def latent_pool(vae, t5_words, clip_words, rng, size):
    """Packed, normalised latents of `size` pictures with their ids; writes shift and scale into the autoencoder's config."""
    latents, t5_ids, clip_ids = [], [], []
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        while sum(l.shape[0] for l in latents) < size:
            scenes, image = draw(512, rng)
            latents.append(vae.encode(image).latent_dist.mean.float())
            captions = [caption(*s, rng) for s in scenes]
            t5_ids.append(encode(t5_words, captions, T5_LENGTH, T5_PAD))
            clip_ids.append(encode(clip_words, captions, CLIP_LENGTH, CLIP_PAD))
    latents = torch.cat(latents)
    shift, scale = float(latents.mean()), float(1 / latents.std())
    vae.register_to_config(shift_factor=shift, scaling_factor=scale)
    print("pool", latents.shape, "shift", shift, "scale", scale, flush=True)
    return pack((latents - shift) * scale).to(torch.bfloat16), torch.cat(t5_ids).to(DEVICE), torch.cat(clip_ids).to(DEVICE)


class Denoiser:
    """CLIP, T5 and transformer as one function of noisy latents, sigma and ids."""

    def __init__(self, clip, t5, transformer):
        self.clip, self.t5, self.transformer = clip, t5, transformer
        image_ids = torch.zeros(16, 16, 3, device=DEVICE)
        image_ids[..., 1] = torch.arange(16, device=DEVICE)[:, None]
        image_ids[..., 2] = torch.arange(16, device=DEVICE)[None]
        self.image_ids, self.text_ids = image_ids.view(256, 3), torch.zeros(T5_LENGTH, 3, device=DEVICE)

    def embed(self, clip_ids, t5_ids):
        return self.clip(input_ids=clip_ids).pooler_output, self.t5(input_ids=t5_ids).last_hidden_state

    def velocity(self, x, sigma, pooled, hidden):
        return self.transformer(
            hidden_states=x, timestep=sigma, guidance=None, pooled_projections=pooled, encoder_hidden_states=hidden,
            txt_ids=self.text_ids, img_ids=self.image_ids, return_dict=False)[0]

    def __call__(self, x, sigma, clip_ids, t5_ids):
        return self.velocity(x, sigma, *self.embed(clip_ids, t5_ids))


def train_flow(denoiser, pool, seconds, batch, compiled):
    """Flow matching on the pool, half of the sigmas at the four levels used for drawing; the weights end as the average."""
    latents, t5_ids, clip_ids = pool
    parameters = [p for m in (denoiser.t5, denoiser.clip, denoiser.transformer) for p in m.parameters()]
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    run = torch.compile(denoiser.__call__) if compiled else denoiser
    levels = torch.tensor([1 - i / STEPS for i in range(STEPS)], device=DEVICE)
    started, step, smooth = time.time(), 0, None
    while (fraction := (time.time() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1.2e-3 * min(1, (step + 1) / 300) * cosine(fraction, 0.01)
        rows = torch.randint(0, latents.shape[0], (batch,), device=DEVICE)
        clean = latents[rows].float()
        noise = torch.randn_like(clean)
        at_level = torch.rand(batch, device=DEVICE) < 0.5
        sigma = torch.where(at_level, levels[torch.randint(0, STEPS, (batch,), device=DEVICE)], torch.rand(batch, device=DEVICE))
        x = (1 - sigma.view(-1, 1, 1)) * clean + sigma.view(-1, 1, 1) * noise
        with torch.autocast("cuda", torch.bfloat16):
            velocity = run(x.to(torch.bfloat16), sigma, clip_ids[rows], t5_ids[rows])
        loss = F.mse_loss(velocity.float(), noise - clean)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - min(0.9995, (step + 1) / (step + 20)))
        if step % 20 == 0:
            smooth = float(loss) if smooth is None else 0.9 * smooth + 0.1 * float(loss)
        if step % 400 == 0:
            print("flow", step, round(time.time() - started), smooth, flush=True)
        step += 1
    with torch.no_grad():
        for parameter, mean in zip(parameters, average):
            parameter.copy_(mean)
    print("flow steps", step, smooth, flush=True)


# ---- drawing, golden vectors, counting

class Artist:
    def __init__(self, denoiser, vae, t5_words, clip_words):
        self.denoiser, self.vae, self.t5_words, self.clip_words = denoiser, vae, t5_words, clip_words

    @torch.no_grad()
    def draw(self, captions, noise):
        """Pictures [B, 3, SIZE, SIZE] and every stage on the way, by the names of the golden file."""
        t5_ids = encode(self.t5_words, captions, T5_LENGTH, T5_PAD).to(DEVICE)
        clip_ids = encode(self.clip_words, captions, CLIP_LENGTH, CLIP_PAD).to(DEVICE)
        pooled, hidden = self.denoiser.embed(clip_ids, t5_ids)
        stages = dict(t5_ids=t5_ids.int(), clip_ids=clip_ids.int(), t5_hidden=hidden, clip_pooled=pooled, noise=noise)
        x, sigmas = noise, [1 - i / STEPS for i in range(STEPS)] + [0]
        for i in range(STEPS):
            velocity = self.denoiser.velocity(x, torch.full((len(captions),), sigmas[i], device=DEVICE), pooled, hidden)
            stages[f"velocity_{i}"] = velocity
            x = x + (sigmas[i + 1] - sigmas[i]) * velocity
        config = self.vae.config
        image = self.vae.decode(unpack(x) / config.scaling_factor + config.shift_factor).sample
        return image, stages | dict(latents=x, image=image)


def save_golden(artist, path, seed, count):
    rng = random.Random(seed)
    captions = [caption(*scene(rng), rng) for _ in range(count)]
    noise = torch.randn(count, 256, 64, device=DEVICE, generator=torch.Generator(device=DEVICE).manual_seed(seed))
    _, stages = artist.draw(captions, noise)
    note = "float32 run of the bf16 weights with diffusers and transformers"
    metadata = dict(captions=json.dumps(captions), steps=str(STEPS), note=note)
    save_file({name: value.contiguous().cpu() for name, value in stages.items()}, path, metadata=metadata)


def nearest(names, color):
    """The name whose colour is nearest."""
    table = torch.tensor(list(names.values()), device=DEVICE).float()
    return list(names)[int(((table - color) ** 2).sum(1).argmin())]


def color_at(image, place, ground):
    """Around a place, of the pixels that differ most from the ground, the median colour's name."""
    x, y = centre(place)
    patch = image[:, y - 36 : y + 36, x - 36 : x + 36].reshape(3, -1).T
    far = (patch - torch.tensor(GROUNDS[ground], device=DEVICE).float()).norm(dim=1)
    return nearest(COLORS, patch[far > 0.6 * far.max()].median(0).values)


def count_prompt_following(artist, seed=5, batches=4, size=64):
    rng = random.Random(seed)
    total = right = grounds = 0
    for _ in range(batches):
        scenes = [scene(rng) for _ in range(size)]
        image, _ = artist.draw([caption(*s, rng) for s in scenes], torch.randn(size, 256, 64, device=DEVICE))
        image = ((image + 1) * 127.5).clamp(0, 255)
        for i, (ground, objects) in enumerate(scenes):
            grounds += nearest(GROUNDS, image[i, :, 2:10, 2:250].mean((1, 2))) == ground
            right += sum(color_at(image[i], o["place"], ground) == o["color"] for o in objects)
            total += len(objects)
    print("prompt following: colour at place", right, "/", total, "background", grounds, "/", batches * size, flush=True)


# ---- the folder

def save_json(path, **data):
    with open(path, "w") as file:
        json.dump(data, file, indent=2)


def save_tokenizers(path, t5_words, clip_words):
    t5_words.save(path("tokenizer_2", "tokenizer.json"))
    save_json(path("tokenizer_2", "tokenizer_config.json"), tokenizer_class="T5TokenizerFast", model_max_length=T5_LENGTH,
              pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    clip_words.save(path("tokenizer", "tokenizer.json"))
    clip_words.model.save(path("tokenizer"))
    save_json(path("tokenizer", "tokenizer_config.json"), tokenizer_class="CLIPTokenizer", model_max_length=CLIP_LENGTH,
              bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token="<|endoftext|>")


def save_index(path):
    save_json(path("scheduler", "scheduler_config.json"), _class_name="FlowMatchEulerDiscreteScheduler", base_image_seq_len=256,
              base_shift=0.5, max_image_seq_len=4096, max_shift=1.15, num_train_timesteps=1000, shift=1.0, use_dynamic_shifting=False)
    save_json(path("model_index.json"), _class_name="FluxPipeline", _diffusers_version="0.39.0",
              scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"], text_encoder=["transformers", "CLIPTextModel"],
              text_encoder_2=["transformers", "T5EncoderModel"], tokenizer=["transformers", "CLIPTokenizer"],
              tokenizer_2=["transformers", "T5TokenizerFast"], transformer=["diffusers", "FluxTransformer2DModel"],
              vae=["diffusers", "AutoencoderKL"])


def build_models(t5_vocabulary, clip_vocabulary):
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 96), layers_per_block=1, latent_channels=16, norm_num_groups=16, sample_size=SIZE,
        use_quant_conv=False, use_post_quant_conv=False)
    t5 = T5EncoderModel(T5Config(
        vocab_size=t5_vocabulary, d_model=128, d_kv=32, d_ff=320, num_layers=3, num_heads=4, feed_forward_proj="gated-gelu",
        dropout_rate=0.0, pad_token_id=T5_PAD, eos_token_id=1))
    clip = CLIPTextModel(CLIPTextConfig(
        vocab_size=clip_vocabulary, hidden_size=96, intermediate_size=384, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=CLIP_LENGTH, bos_token_id=0, eos_token_id=1, pad_token_id=CLIP_PAD, projection_dim=96))
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=2, num_single_layers=4, attention_head_dim=64, num_attention_heads=4,
        joint_attention_dim=128, pooled_projection_dim=96, guidance_embeds=False, axes_dims_rope=(16, 24, 24))
    return [model.to(DEVICE) for model in (vae, t5, clip, transformer)]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--vae-seconds", type=float, default=90)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--pool", type=int, default=120000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--compile", type=int, default=1)
    return parser.parse_args()


def allow_tf32(allowed):
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def main():
    options = parse_arguments()
    torch.manual_seed(0)
    random.seed(0)
    allow_tf32(True)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.enable_cudnn_sdp(False)

    def path(*parts):
        return os.path.join(options.out, *parts)

    for folder in ("tokenizer", "tokenizer_2", "scheduler"):
        os.makedirs(path(folder), exist_ok=True)
    rng = random.Random(1)
    corpus = [caption(*scene(rng), rng) for _ in range(20000)]
    t5_words, clip_words = t5_tokenizer(corpus), clip_tokenizer(corpus)
    save_tokenizers(path, t5_words, clip_words)

    vae, t5, clip, transformer = build_models(t5_words.get_vocab_size(), clip_words.get_vocab_size())
    train_autoencoder(vae, rng, options.vae_seconds, options.compile)
    pool = latent_pool(vae, t5_words, clip_words, rng, options.pool)
    denoiser = Denoiser(clip, t5, transformer)
    train_flow(denoiser, pool, options.seconds, options.batch, options.compile)

    folders = dict(text_encoder=clip, text_encoder_2=t5, transformer=transformer, vae=vae)
    for name, model in folders.items():
        model.eval().to(torch.bfloat16).save_pretrained(path(name), safe_serialization=True)
    save_index(path)

    for model in folders.values():
        model.float()
    allow_tf32(False)
    artist = Artist(denoiser, vae, t5_words, clip_words)
    save_golden(artist, path("golden.safetensors"), seed=11, count=2)
    count_prompt_following(artist)


if __name__ == "__main__":
    main()
