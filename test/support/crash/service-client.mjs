// `service stop|start|health`: asks the test, which plays the service manager, and waits for its answer.
import { connect } from 'node:net';

const [path, word] = process.argv.slice(2);
let answer = '';
connect(path)
  .setEncoding('utf8')
  .on('connect', function () {
    this.write(`${word}\n`);
  })
  .on('data', (text) => (answer += text))
  .on('error', (error) => {
    answer = error.message;
  })
  .on('close', () => {
    if (answer === 'ok') return;
    process.stderr.write(`${answer || 'no answer'}\n`);
    process.exitCode = 1;
  });
