export function debianProgram(root: string, name: string): Promise<string>;
