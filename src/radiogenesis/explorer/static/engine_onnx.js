// Draws in the page: the generator as ONNX, run by ONNX Runtime Web. Needs no server.

globalThis.startEngine = async ({ content, unpacked, floats }) => {
  const { pixels, sides, vector } = content;
  const area = pixels * pixels;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpacked(document.getElementById("wasm").textContent);
  const session = async (model) => ort.InferenceSession.create(new Uint8Array(await unpacked(model)));
  const sessions = { own: await session(content.model), shuffled: content.shuffled && (await session(content.shuffled.model)) };
  const noise = await floats(content.noise.values);
  const backgrounds = new Int16Array(await unpacked(content.backgrounds.values));
  const sizes = [vector, ...sides.map((side) => side * side)];
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const [low, high] = content.window;
  const unit = ({ background }) => Float32Array.from(
    backgrounds.subarray(background * area, (background + 1) * area),
    (hu) => Math.min(1, Math.max(-1, ((hu - low) * 2) / (high - low) - 1)),
  );

  function feeds(wanted) {
    const count = wanted.length;
    const tensor = (shape, of) => {
      const length = shape.reduce((product, size) => product * size, 1);
      const values = new Float32Array(count * length);
      wanted.forEach((one, row) => values.set(of(one), row * length));
      return new ort.Tensor("float32", values, [count, ...shape]);
    };
    const given = { background: tensor([1, pixels, pixels], unit), code: tensor([wanted[0].code.length], (one) => one.code) };
    let from = 0;
    sizes.forEach((size, part) => {
      const first = from;
      const mine = (one) => noise.subarray(one.noise * total + first, one.noise * total + first + size);
      given[part ? `map${part - 1}` : "vector"] = tensor(part ? [1, sides[part - 1], sides[part - 1]] : [size], mine);
      from += size;
    });
    return given;
  }

  return {
    // which: own or shuffled; wanted: [{ background, noise, code }] -> image, mask and weight, one drawing after the other
    async draw(which, wanted) {
      const { image, mask, weight } = await sessions[which].run(feeds(wanted));
      return { image: image.data, mask: mask.data, weight: weight.data };
    },
  };
};
