import ArgumentParser
import Basics
import Foundation
import Tensors

struct BenchAttention: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attention", abstract: "Time, arithmetic and bytes of attention alone.",
    discussion: """
      Prefill is causal attention of one whole text, decode one row of each of several sequences over its cache, \
      encoder attention of several whole texts in both directions, forward as in training (with the log-sum-exp) and \
      its gradient. FLOPs are those that the mask leaves.

      Example: retort bench attention --prefill 2048 --decode 32x2048 --encoder 32x128
      """)

  @OptionGroup var options: RunOptions
  @Option(help: "Query heads of prefill and decode.")
  var heads = 32
  @Option(help: "Heads of keys and values.")
  var kvHeads = 8
  @Option(help: "Numbers in a head.")
  var headDim = 128
  @Option(help: ArgumentHelp("Lengths of the texts.", valueName: "n,n,…"))
  var prefill = "2048"
  @Option(help: ArgumentHelp("Sequences and their contexts.", valueName: "n×context,…"))
  var decode = "1x2048,32x2048"
  @Option(
    help: ArgumentHelp(
      "Texts and their lengths, with 12 heads of 32; none by default.", valueName: "n×length,…"))
  var encoder = ""

  private struct Row {
    let kind: String
    let sequences: Int
    let length: Int
    let reading: BenchClock.Reading
  }

  func run() throws {
    guard (1...256).contains(heads), kvHeads > 0, heads % kvHeads == 0, (2...256).contains(headDim) else {
      throw ValidationError("Give heads that share --kv-heads evenly, and a --head-dim from 2 to 256.")
    }
    let texts = try Self.sizes(prefill, paired: false, "--prefill")
    let steps = try Self.sizes(decode, paired: true, "--decode")
    let packs = try Self.sizes(encoder, paired: true, "--encoder")
    let backend = try options.withoutProfile.makeTrainingBackend()
    let type = options.kvCache.type(.bf16, headDim: headDim, backend: backend)
    try backend.checkCache(type, headDim: headDim)
    var rows: [Row] = []
    for size in texts {
      let reading = try cached(1, size.length, rows: size.length, type, backend)
      rows.append(Row(kind: "prefill", sequences: 1, length: size.length, reading: reading))
    }
    for size in steps {
      let reading = try cached(size.sequences, size.length, rows: 1, type, backend)
      rows.append(Row(kind: "decode", sequences: size.sequences, length: size.length, reading: reading))
    }
    for size in packs {
      for (kind, reading) in try packed(size.sequences, size.length, backend) {
        rows.append(Row(kind: kind, sequences: size.sequences, length: size.length, reading: reading))
      }
    }
    try report(rows, type, backend)
  }

  /// "a,b" or "axb,cxd", each number from 1 to a million.
  private static func sizes(_ text: String, paired: Bool, _ option: String) throws -> [(
    sequences: Int, length: Int
  )] {
    try text.split(separator: ",").map { part in
      let numbers = part.split(whereSeparator: { "x×".contains($0) }).map { Int($0) ?? 0 }
      guard numbers.count == (paired ? 2 : 1), numbers.allSatisfy({ (1...1_000_000).contains($0) }) else {
        throw ValidationError("\(option) takes \(paired ? "sizes such as 32x2048" : "lengths such as 2048").")
      }
      return (paired ? numbers[0] : 1, numbers[numbers.count - 1])
    }
  }

  /// Attention of the last `rows` rows of each sequence over a filled cache.
  private func cached(_ sequences: Int, _ context: Int, rows: Int, _ type: CacheType, _ backend: any Backend)
    throws -> BenchClock.Reading
  {
    let blocks = (context + 15) / 16
    let cache = try backend.makeKVCache(
      KVCacheSpec(
        layers: 1, blocks: sequences * blocks, blockSize: 16, kvHeads: kvHeads, headDim: headDim, dtype: type)
    )
    let shape: Shape = [context, kvHeads * headDim]
    let filling = try backend.upload(BenchClock.numbers(shape.count), shape: shape)
    func slice(_ sequence: Int, row: Int, rows: Int) -> SequenceSlice {
      SequenceSlice(
        rowStart: row, rowCount: rows, contextLength: context,
        blockTable: (0..<blocks).map { Int32($0 * sequences + sequence) })
    }
    for sequence in 0..<sequences {
      let all = try BatchMetadata(
        tokenIDs: [Int32](repeating: 0, count: context), sequences: [slice(sequence, row: 0, rows: context)],
        blockSize: 16)
      try backend.storeKV(key: filling, value: filling, layer: 0, cache: cache, backend.prepare(all))
    }
    let batch = try backend.prepare(
      BatchMetadata(
        tokenIDs: [Int32](repeating: 0, count: sequences * rows),
        sequences: (0..<sequences).map { slice($0, row: $0 * rows, rows: rows) }, blockSize: 16))
    let width = heads * headDim
    let query = try backend.upload(
      BenchClock.numbers(sequences * rows * width), shape: [sequences * rows, width])
    let scale = 1 / Float(headDim).squareRoot()
    return try BenchClock().measure(backend) {
      _ = try backend.attention(query, heads: heads, scale: scale, layer: 0, cache: cache, batch)
    }
  }

  /// Forward and gradient over queries, keys and values side by side, as a student's projection leaves them.
  private func packed(_ sequences: Int, _ length: Int, _ backend: any TrainingBackend) throws -> [(
    kind: String, BenchClock.Reading
  )] {
    let (heads, headDim) = (12, 32)
    let (width, scale) = (heads * headDim, 1 / Float(headDim).squareRoot())
    let ids = [[Int32]](repeating: [Int32](repeating: 1, count: length), count: sequences)
    let batch = try backend.prepare(PackedBatch(tokenIDs: ids))
    let shape: Shape = [sequences * length, 3 * width]
    let joint = try backend.upload(BenchClock.numbers(shape.count), shape: shape)
    let query = try joint.columns(0..<width)
    let key = try joint.columns(width..<2 * width)
    let value = try joint.columns(2 * width..<3 * width)
    func attend() throws -> EncoderAttention.Output {
      try backend.encoderAttention(
        query: query, key: key, value: value, heads: heads, scale: scale, causal: false, precision: .bf16,
        wantsLogSumExp: true, batch)
    }
    let forward = try attend()
    let logSumExp = try forward.requireLogSumExp()
    let clock = BenchClock()
    return [
      ("encoder", try clock.measure(backend) { _ = try attend() }),
      (
        "encoder gradient",
        try clock.measure(backend) {
          // The output stands for its own gradient: a tensor of that shape.
          _ = try backend.encoderAttentionGradient(
            forward.output, query: query, key: key, value: value, output: forward.output,
            logSumExp: logSumExp, heads: heads, scale: scale, causal: false, precision: .bf16, batch)
        }
      ),
    ]
  }

  private func report(_ rows: [Row], _ type: CacheType, _ backend: any Backend) throws {
    if options.json {
      let cases = rows.map { row in
        row.reading.fields.merging(
          ["kind": row.kind, "sequences": row.sequences, "length": row.length] as [String: Any]
        ) { $1 }
      }
      return Output.write(
        try Output.json([
          "device": backend.device.name, "backend": backend.device.backend, "heads": heads,
          "kv_heads": kvHeads, "head_dim": headDim, "kv_cache": type.rawValue, "cases": cases,
        ]))
    }
    Output.write(
      "\(backend.device.name), \(heads) heads over \(kvHeads) of \(headDim), cache \(type.rawValue)\n")
    for row in rows {
      let name = "\(row.kind) \(row.sequences) × \(row.length)"
      Output.write(name.padding(toLength: 32, withPad: " ", startingAt: 0) + row.reading.text)
    }
  }
}
