// The packages name their files without endings, as bundlers understand them; here Node is told of the endings.
import { registerHooks } from 'node:module';

const ENDINGS = ['', '.js', '/index.js'];

registerHooks({
  resolve(specifier, context, next) {
    let first;
    for (const ending of ENDINGS) {
      try {
        return next(specifier + ending, context);
      } catch (error) {
        first ??= error;
      }
    }
    throw first;
  },
});
