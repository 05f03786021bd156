// Expected times of candidates that were never run here, from the machine's profile, and the fastest by them. It knows
// candidates and families; undefined is an ordinary answer and means that rules of thumb have to do.
import { dtypeBytes } from "../../core/dtype.js";
import type { Target } from "../../device/device.js";
import type { Region } from "../../graph/region.js";
import type { Candidate, Provider } from "../../provider/provider.js";
import { Choices, type Ask, type Choice } from "./choices.js";
import { Curve } from "./curve.js";
import { productOf, type Product } from "./product.js";
import { familyOf, profilePath, readProfile, type Profile } from "./profile.js";

type Known = Pick<Candidate, "provider" | "id" | "method" | "tiling">;

export interface Forecast {
  /** Whether some candidates of this region have an estimate. */
  covers(region: Region): boolean;
  /** Microseconds of one run of a candidate of this region, weights cold; undefined where no curve tells. */
  estimate(region: Region, candidate: Known): number | undefined;
  /** Which candidate of this region would be the fastest; providers are asked where products of its kind are new. */
  fastest(region: Region, ask: Ask): Choice | undefined;
  /** What this machine reaches in products; undefined without a profile. */
  readonly flopsPerUs: number | undefined;
}

/** A forecast of products in every dtype that has a profile on this machine; profiles are read when they are asked for. */
export function forecastOf(target: Target, providers: readonly Provider[]): Forecast {
  const versions = Object.fromEntries(providers.map(({ name, version }) => [name, version]));
  const known = new Map<Product["dtype"], ProductForecast>();
  const curvesOf = (dtype: Product["dtype"]): ProductForecast => {
    let curves = known.get(dtype);
    if (!curves) {
      const profile = readProfile(profilePath(target, dtype), target, dtype, versions);
      known.set(dtype, (curves = new ProductForecast(profile)));
    }
    return curves;
  };
  return {
    covers(region) {
      const product = productOf(region);
      return product !== undefined && !curvesOf(product.dtype).isEmpty;
    },
    estimate(region, candidate) {
      const product = productOf(region);
      return product && curvesOf(product.dtype).us(product, candidate);
    },
    fastest(region, ask) {
      const product = productOf(region);
      if (!product) return undefined;
      const curves = curvesOf(product.dtype);
      return curves.isEmpty ? undefined : curves.choices.fastest(region, product, providers, ask);
    },
    get flopsPerUs() {
      return curvesOf("f32").flopsPerUs;
    },
  };
}

/** The curves of one profile, and the choices made by them. */
export class ProductForecast {
  readonly flopsPerUs: number | undefined;
  readonly choices = new Choices((product, provider, { method, tiling }) => this.us(product, { provider, id: method, method, ...(tiling && { tiling }) })); // prettier-ignore
  readonly #curves: ReadonlyMap<string, Curve>;

  constructor({ families, threads, dtype }: Profile) {
    const unit = { units: threads, bytes: dtypeBytes(dtype) };
    const enough = families.filter(({ samples }) => samples.length >= FEWEST_SAMPLES);
    this.#curves = new Map(
      enough.map(({ provider, family, samples }) => [`${provider} ${family}`, new Curve(samples, unit)]),
    );
    const rates = enough.flatMap(({ samples }) => samples.map(({ rows, columns, terms, us }) => (2 * rows * columns * terms) / us)); // prettier-ignore
    this.flopsPerUs = rates.length > 0 ? Math.max(...rates) : undefined;
  }

  get isEmpty(): boolean {
    return this.#curves.size === 0;
  }

  us(product: Product, candidate: Known): number | undefined {
    return this.#curves.get(`${candidate.provider} ${familyOf(candidate)}`)?.us(product, candidate.tiling);
  }
}

/** A curve through fewer points says nothing. */
const FEWEST_SAMPLES = 4;
