export const maximumYamlLength = 256 * 1024;

/** How batch specs, and the outputs of their steps, are read. */
export const yamlOptions = { maximumLength: maximumYamlLength, maximumAliases: 100, mergeKeys: true };
