// Reads a document of AsyncAPI with the parser of its authors; prints what it complains of.
//
//   node check.js PARSER-DIRECTORY DOCUMENT
const fs = require('fs')
const path = require('path')

const [directory, document] = process.argv.slice(2)
const { Parser } = require(path.resolve(directory, 'node_modules/@asyncapi/parser'))

async function check() {
  const { document: parsed, diagnostics } = await new Parser().parse(fs.readFileSync(document, 'utf8'))
  // Severity 0 is an error, 1 a warning; the rest are recommendations.
  const found = diagnostics.filter((diagnostic) => diagnostic.severity <= 1)
  for (const { message, path: place, severity } of found) {
    console.error(`${document}: ${severity === 0 ? 'error' : 'warning'}: ${place.join('.')}: ${message}`)
  }
  if (found.length > 0 || !parsed) process.exit(1)
  const [channels, messages] = [parsed.channels().all(), parsed.messages().all()]
  console.log(`${document}: ${channels.length} channels, ${messages.length} messages`)
}

check()
