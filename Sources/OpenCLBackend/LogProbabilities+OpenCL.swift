import Basics
import Foundation
import OpenCLRuntime
import Tensors

extension OpenCLBackend {
  /// Columns of one chunk of the log-softmax and Gumbel kernels.
  private static var span: Int { 4096 }
  private var spanOption: KernelOptions { Self.spanOption }
  private static let spanOption: KernelOptions = "-DSPAN=\(span) "

  public func logProbabilities(_ logits: Tensor, _ requests: [LogProbabilityRequest]) throws
    -> [LogProbabilityRow]
  {
    let operation = try LogProbabilities(logits.shape, requests: requests)
    guard operation.rows > 0 else { return [] }
    let view = try FloatView(try applyMasks(try applyPenalties(logits, requests), requests.map(\.allowed)))
    let chunkCount = (operation.width + Self.span - 1) / Self.span
    let chunkBuffer = try context.makeBuffer(byteCount: operation.rows * chunkCount * 16)
    try launchGroups(
      try rowKernel(
        .logProbabilities, "log_chunks", at: view.places, width: operation.width,
        held: min(Self.span, operation.width), spanOption),
      [
        .buffer("logits", view.buffer), .uint("offset", view.offset), .uint("stride", view.stride),
        .uint("width", UInt32(operation.width)),
        .buffer("temperatures", try makeBuffer(requests.map(\.temperature))),
        .buffer("chunks", chunkBuffer),
      ], chunkCount, operation.rows)
    let top = try queueTop(view, requests, width: operation.width)
    let chosen = try queueChosen(view, requests)
    try record(operation)

    let chunks = try readFloats(chunkBuffer, count: operation.rows * chunkCount * 4)
    let topIDs = try top.map { try readArray($0.ids, count: $0.count, zero: Int32(0)) } ?? []
    let topValues = try top.map { try readFloats($0.values, count: $0.count) } ?? []
    let chosenValues = try chosen.map { try readFloats($0.buffer, count: $0.count) } ?? []
    var chosenStart = 0
    return requests.enumerated().map { row, request in
      let share = Array(chunks[(row * chunkCount * 4)..<((row + 1) * chunkCount * 4)])
      let sums = LogSums(share, temperature: request.temperature)
      var result = LogProbabilityRow(
        topIDs: [], topLogits: [], logSumExp: sums.plain, logSumExpAtTemperature: sums.tempered,
        chosenLogProbabilities: request.chosen.indices.map { chosenValues[chosenStart + $0] - sums.plain })
      chosenStart += request.chosen.count
      let count = min(request.topCount, operation.width)
      if request.allowed?.count == 0 { return result }
      if count == 1 {
        (result.topIDs, result.topLogits) = ([sums.highestID], [sums.highest])
      } else if count > 1, let start = top?.starts[row] {
        let found = zip(topIDs[start..<(start + count)], topValues[start..<(start + count)])
          .filter { request.allowed?.contains($0.0) ?? true }
          .sorted { $0.1 != $1.1 ? $0.1 > $1.1 : $0.0 < $1.0 }
        (result.topIDs, result.topLogits) = (found.map(\.0), found.map(\.1))
      }
      return result
    }
  }

  /// The logits with the repeated tokens' penalised, in a copy; the logits themselves where nothing is.
  private func applyPenalties(_ logits: Tensor, _ requests: [LogProbabilityRequest]) throws -> Tensor {
    var pairs: [Int32] = []
    for (row, request) in requests.enumerated() where request.repetitionPenalty != 1 {
      for id in Set(request.penalized).sorted() { pairs += [Int32(row), id] }
    }
    guard !pairs.isEmpty else { return logits }
    let copy = try gatherRows(logits, (0..<logits.rows).map(Int32.init))
    let target = try FloatView(copy)
    try launchColumns(
      try rowKernel(.logProbabilities, "penalize", width: logits.width, spanOption),
      [
        .buffer("logits", target.buffer), .uint("stride", target.stride),
        .buffer("pairs", try makeBuffer(pairs)),
        .buffer("penalties", try makeBuffer(requests.map(\.repetitionPenalty))),
        .uint("count", UInt32(pairs.count / 2)),
      ], pairs.count / 2)
    return copy
  }

  /// The logits with −∞ for all but the allowed tokens, in a copy; the logits themselves where no row has a mask.
  private func applyMasks(_ logits: Tensor, _ allowed: [AllowedTokens?]) throws -> Tensor {
    guard allowed.contains(where: { $0 != nil }) else { return logits }
    // Rows in the same state share a mask, which is sent once.
    var places: [AllowedTokens: Int32] = [:]
    var words: [UInt32] = []
    let masks = allowed.map { mask -> Int32 in
      guard let mask else { return -1 }
      if let place = places[mask] { return place }
      let place = Int32(places.count)
      places[mask] = place
      words += mask.words
      return place
    }
    let view = try FloatView(logits)
    let copy = try allocate(logits.shape, .f32)
    let target = try FloatView(copy)
    // The kernel's MASKED: columns of one item.
    let masked = family == .cpu ? 32 : rowOptions.vector
    try launchColumns(
      try rowKernel(.logProbabilities, "mask_tokens", at: view.places, width: logits.width, spanOption),
      [
        .buffer("logits", view.buffer), .uint("offset", view.offset), .uint("stride", view.stride),
        .buffer("masks", try makeBuffer(masks)), .buffer("words", try makeBuffer(words)),
        .buffer("y", target.buffer), .uint("width", UInt32(logits.width)),
      ], (logits.width + masked - 1) / masked, logits.rows)
    return copy
  }

  private struct TopBuffers {
    let ids: OpenCLBuffer
    let values: OpenCLBuffer
    let starts: [Int]
    let count: Int
  }

  /// Queues the search for rows that want more than the highest logit; nil where none does.
  private func queueTop(_ view: FloatView, _ requests: [LogProbabilityRequest], width: Int) throws
    -> TopBuffers?
  {
    let counts = requests.map { $0.topCount > 1 ? min($0.topCount, width) : 0 }
    var starts: [Int] = []
    var total = 0
    for count in counts {
      starts.append(total)
      total += count
    }
    guard total > 0 else { return nil }
    let result = TopBuffers(
      ids: try context.makeBuffer(byteCount: total * 4), values: try context.makeBuffer(byteCount: total * 4),
      starts: starts, count: total)
    try launchGroups(
      try rowKernel(.topK, "top_k", at: view.places, width: width),
      [
        .buffer("logits", view.buffer), .uint("offset", view.offset), .uint("stride", view.stride),
        .uint("width", UInt32(width)), .buffer("counts", try makeBuffer(counts.map { Int32($0) })),
        .buffer("starts", try makeBuffer(starts.map { Int32($0) })), .buffer("ids", result.ids),
        .buffer("values", result.values),
      ], 1, requests.count)
    return result
  }

  private func queueChosen(_ view: FloatView, _ requests: [LogProbabilityRequest]) throws
    -> (buffer: OpenCLBuffer, count: Int)?
  {
    var pairs: [Int32] = []
    for (row, request) in requests.enumerated() {
      for id in request.chosen { pairs += [Int32(row), id] }
    }
    guard !pairs.isEmpty else { return nil }
    let values = try context.makeBuffer(byteCount: pairs.count / 2 * 4)
    try launchColumns(
      try rowKernel(.logProbabilities, "pick", width: 1, spanOption),
      [
        .buffer("logits", view.buffer), .uint("offset", view.offset), .uint("stride", view.stride),
        .buffer("pairs", try makeBuffer(pairs)), .buffer("y", values),
        .uint("count", UInt32(pairs.count / 2)),
      ], pairs.count / 2)
    return (values, pairs.count / 2)
  }

  public func gumbelArgmax(
    _ logits: Tensor, temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
  ) throws -> [Int32] {
    let rows = logits.rows
    let requests = try LogProbabilityRequest.sampling(temperatures, allowed: allowed)
    _ = try LogProbabilities(logits.shape, requests: requests)
    guard logits.shape.rank == 2, logits.width > 0, temperatures.count == rows, keys.count == rows,
      positions.count == rows, temperatures.allSatisfy({ $0 > 0 })
    else {
      throw RetortError(
        .shapeMismatch, "sampling \(logits.shape) with \(temperatures.count) temperatures",
        remedy: "Give one positive temperature, key and position a row.")
    }
    guard rows > 0 else { return [] }
    let view = try FloatView(try applyMasks(logits, requests.map(\.allowed)))
    let chunkCount = (logits.width + Self.span - 1) / Self.span
    let buffer = try context.makeBuffer(byteCount: rows * chunkCount * 8)
    try launchGroups(
      try rowKernel(.gumbelArgmax, "gumbel_argmax", width: logits.width, spanOption),
      [
        .buffer("logits", view.buffer), .uint("offset", view.offset), .uint("stride", view.stride),
        .uint("width", UInt32(logits.width)), .buffer("temperatures", try makeBuffer(temperatures)),
        .buffer("counters", try makeBuffer(zip(keys, positions).flatMap { [$0, $1] })),
        .buffer("chunks", buffer),
      ], chunkCount, rows)
    let chunks = try readFloats(buffer, count: rows * chunkCount * 2)
    return (0..<rows).map { row in
      let share = chunks[(row * chunkCount * 2)..<((row + 1) * chunkCount * 2)]
      var (best, id) = (-Float.infinity, Int32(0))
      for at in stride(from: share.startIndex, to: share.endIndex, by: 2) where share[at] > best {
        (best, id) = (share[at], Int32(bitPattern: share[at + 1].bitPattern))
      }
      return id
    }
  }
}

/// A row's chunks combined, in Double and in order.
struct LogSums {
  let highest: Float
  let highestID: Int32
  let plain: Float
  let tempered: Float

  /// - Parameter chunks: `[chunks, 4]`: highest, its column as bits, Σ exp(x − highest), the same at temperature.
  init(_ chunks: [Float], temperature: Float) {
    var (highest, id) = (-Float.infinity, Int32(0))
    for at in stride(from: 0, to: chunks.count, by: 4) where chunks[at] > highest {
      (highest, id) = (chunks[at], Int32(bitPattern: chunks[at + 1].bitPattern))
    }
    var (plain, tempered) = (0.0, 0.0)
    let peak = highest == -.infinity ? 0 : Double(highest)
    for at in stride(from: 0, to: chunks.count, by: 4) {
      // A chunk of −∞ alone has sums of 0, and of NaN where it has NaNs.
      let distance = Double(chunks[at]) - peak
      plain += Double(chunks[at + 2]) * exp(distance)
      tempered += Double(chunks[at + 3]) * exp(distance / Double(temperature))
    }
    self.highest = highest
    highestID = id
    self.plain = Float(Double(highest) + log(plain))
    self.tempered = Float(Double(highest) / Double(temperature) + log(tempered))
  }
}
