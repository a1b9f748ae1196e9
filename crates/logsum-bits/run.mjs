// Runs the module, and compares its hash with that of every other machine.
import { readFileSync } from "node:fs";

const module = await WebAssembly.compile(readFileSync(process.argv[2]));
const text = (place, length) => new TextDecoder().decode(new Uint8Array(exports.memory.buffer, place, length));
const { exports } = await WebAssembly.instantiate(module, {
    env: { print: (place, length) => console.log(`      ${text(place, length)}`) },
});
const [found, expected] = [exports.hash(), exports.expected()].map((hash) => BigInt.asUintN(64, hash).toString(16).padStart(16, "0"));
console.log(`bits: WebAssembly ${found}`);
if (found !== expected) {
    console.error(`not ${expected}`);
    process.exit(1);
}
