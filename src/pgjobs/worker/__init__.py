"""The worker: supervisor → process → producer, consumers, acknowledger.

The parent is `supervisor`: `member` is a worker process as it sees it, `heart` beats for all of them and buries the
dead (`rescue`). Both sides share `config`, the line between them (`control`), and the `board` that outlives one.

In a worker process, `process` puts together for each queue a `lane` (its slots, inbox and numbers), a `producer` (with
`demand` and `frontier`) and the `consumers`; one `acknowledger` writes all outcomes (`settle`). Each thread that talks
to PostgreSQL has a `link`.
"""
