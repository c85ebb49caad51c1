/** @throws Error that names the option, where it is none or out of range */
export function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`${option} is a whole number from ${min} to ${max}, not "${text}"`);
}
