import assert from "node:assert/strict";
import test from "node:test";
import { isCannot } from "./form.js";
import { checkAttention, checkMatmul, type AttentionSchedule, type MatmulSchedule } from "./schedule.js";

const matmul: MatmulSchedule = {
  kind: "matmul",
  blockM: 128,
  blockN: 256,
  stages: 4,
  consumers: 2,
  cluster: 1,
  groupM: 8,
};
const attention: AttentionSchedule = {
  kind: "attention",
  consumers: 2,
  blockKeys: 128,
  stages: 2,
  pingPong: true,
  splitTail: true,
};

const refusal = (checked: object): string => (isCannot(checked) ? checked.cannot : "accepted");

test("the two schedules that win are within every limit", () => {
  assert.equal(checkMatmul(matmul), matmul);
  assert.equal(refusal(checkAttention({ ...attention, blockKeys: 176 }, 128, 128)), "accepted");
});

test("a ring too long for shared memory is refused with both numbers", () => {
  assert.match(
    refusal(checkMatmul({ ...matmul, stages: 5 })),
    /needs 280576 bytes of shared memory, the limit is 232448/,
  );
  assert.match(refusal(checkAttention({ ...attention, stages: 3 }, 128, 128)), /needs 247808 bytes/);
});

test("an accumulator too large for the registers is refused", () => {
  assert.match(refusal(checkMatmul({ ...matmul, consumers: 1 })), /the accumulator takes 256 registers of 240/);
  assert.match(refusal(checkAttention({ ...attention, blockKeys: 192 }, 128, 128)), /take 208 registers of 232/);
});

test("tiles that the instructions cannot cover are refused", () => {
  assert.match(refusal(checkMatmul({ ...matmul, blockM: 192 })), /no multiple of 64 × 2/);
  assert.match(refusal(checkMatmul({ ...matmul, blockN: 168 })), /blockN 168/);
  assert.match(refusal(checkAttention(attention, 96, 96)), /depth 96 is not/);
  assert.match(refusal(checkAttention({ ...attention, consumers: 1 }, 128, 128)), /taking turns needs two/);
  assert.match(
    refusal(checkAttention({ ...attention, consumers: 3, blockKeys: 80 }, 128, 128)),
    /between two warpgroups only/,
  );
});
