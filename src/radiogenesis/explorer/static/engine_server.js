// Lets `radiogenesis explore RUN --serve` draw, with torch, and read scans of one's own.

globalThis.startEngine = async () => {
  const token = new URLSearchParams(location.search).get("token");

  async function ask(path, body, type) {
    const headers = { Authorization: `Bearer ${token}`, ...(type && { "Content-Type": type }) };
    let answer;
    try {
      answer = await fetch(path, { method: "POST", headers, body });
    } catch {
      throw new Error("The server does not answer: has `radiogenesis explore --serve` ended?");
    }
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `The server says ${answer.status}.`);
    return answer;
  }

  return {
    async draw(which, wanted) {
      const drawings = wanted.map((one) => ({ ...one, code: Array.from(one.code) }));
      const answer = await ask("/draw", JSON.stringify({ which, drawings }), "application/json");
      const values = new Float32Array(await answer.arrayBuffer());
      const third = values.length / 3;
      return { image: values.subarray(0, third), mask: values.subarray(third, 2 * third), weight: values.subarray(2 * third) };
    },
    // files of one scan -> { names: of all backgrounds, first: of the new ones, said }
    async read(files) {
      const form = new FormData();
      for (const file of files) form.append("files", file, file.name);
      return (await ask("/scan", form)).json();
    },
  };
};
