/**
 * Makes any picture small enough for the board.
 */
const SIDE = 900;
const QUALITIES = [0.85, 0.7, 0.5];

const encode = (canvas, type, quality) => new Promise((resolve) => canvas.toBlob(resolve, type, quality));

/**
 * @param {Blob} file
 * @param {number} limit In bytes.
 * @returns {Promise<{file: ArrayBuffer, width: number, height: number}>} A PNG if that is small, otherwise a JPEG.
 * @throws {Error} The browser cannot read it.
 */
export const fit = async (file, limit) => {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error("This is not a picture that the browser can read.");
  });
  for (let scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height)); ; scale /= 2) {
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0, width, height);
    const png = await encode(canvas, "image/png");
    if (png.size <= limit) return { file: await png.arrayBuffer(), width, height };
    // JPEG knows no transparency: without paper below it would be black.
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    for (const quality of QUALITIES) {
      const jpeg = await encode(canvas, "image/jpeg", quality);
      if (jpeg.size <= limit) return { file: await jpeg.arrayBuffer(), width, height };
    }
  }
};
