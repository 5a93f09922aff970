// Submits a recording to Scriptorium, waits for the event of its end, and prints the URI of the transcript.
//
//   npm ci
//   AMQP_URL=amqp://user:password@broker node submit.js s3://recordings/calls/0042.wav s3://transcripts/calls/0042
//
// The workers need `worker.events = "sent"` or "confirmed". docs/jobs.md describes the messages.
const { randomUUID } = require('node:crypto')
const amqp = require('amqplib')

const TIMEOUT_SECONDS = 3600

async function main([source, output]) {
  if (!source || !output) throw new Error('usage: node submit.js SOURCE OUTPUT')
  const prefix = process.env.SCRIPTORIUM_PREFIX || 'scriptorium'
  const job = { version: 1, id: randomUUID(), source, output }

  const connection = await amqp.connect(process.env.AMQP_URL || 'amqp://localhost')
  try {
    const channel = await connection.createConfirmChannel()
    // Before the job is published: an event that no queue is bound for is lost.
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, `${prefix}.events`, 'job.*')
    const end = endOf(channel, queue, job)
    // A failure is reported where `end` is awaited.
    end.catch(() => {})
    await publish(channel, `${prefix}.jobs`, job)
    return report(await end)
  } finally {
    await connection.close()
  }
}

// Resolves with the event of the end of the job.
function endOf(channel, queue, job) {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Error(`no event within ${TIMEOUT_SECONDS} s; the job goes on`))
    const timer = setTimeout(late, TIMEOUT_SECONDS * 1000)
    const take = (message) => {
      if (message === null) return reject(new Error('the queue of events was deleted'))
      const event = JSON.parse(message.content.toString())
      if (event.subject !== job.id) return
      clearTimeout(timer)
      resolve(event)
    }
    timer.unref()
    channel.consume(queue, take, { noAck: true }).catch(reject)
  })
}

// Resolves when the broker has the job on disk. If the connection breaks before, nobody knows whether it has: publish
// it again, which has no further effect.
function publish(channel, queue, job) {
  return new Promise((resolve, reject) => {
    // A message that no queue takes is returned, and then confirmed.
    let returned = false
    channel.once('return', () => { returned = true })
    const properties = { persistent: true, mandatory: true, contentType: 'application/json', messageId: job.id }
    channel.sendToQueue(queue, Buffer.from(JSON.stringify(job)), properties, (error) => {
      if (error) return reject(new Error('the broker refused the job: try again later'))
      if (!returned) return resolve()
      reject(new Error(`there is no queue ${queue}: has a worker been started with this prefix?`))
    })
  })
}

// Prints what became of the job; returns the exit status.
function report({ type, data }) {
  if (type === 'scriptorium.job.done') {
    console.log(data.transcript)
    return 0
  }
  console.error(type === 'scriptorium.job.failed' ? `${data.code}: ${data.message}\n${data.remedy}` : type)
  return 1
}

main(process.argv.slice(2)).then(
  (status) => { process.exitCode = status },
  (error) => {
    console.error(error.message)
    process.exitCode = 1
  },
)
