import Basics
import Tensors

extension ReferenceBackend {
  public func embedding(_ table: any EmbeddingTable, _ batch: any PreparedBatch) throws -> Tensor {
    let ids = batch.metadata.tokenIDs
    let operation = try Embedding(table: table, ids: ids)
    let table = try cast(table, Table.self)
    let values = ids.flatMap { table.values[(Int($0) * table.width)...].prefix(table.width) }
    return try upload(exact: values, shape: operation.outputShape)
  }

  public func matmul(_ x: Tensor, _ weight: any MatrixWeight, bias: Tensor?) throws -> Tensor {
    let operation = try MatMul(x: x.shape, weight: weight, bias: bias?.shape)
    let matrix = try cast(weight, Matrix.self)
    return try result(
      Reference.matmul(
        doubles(x), rows: x.rows, weight: matrix.values, width: x.width, bias: bias.map { try doubles($0) }),
      operation)
  }

  public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try RMSNorm(x: x.shape, weight: weight.shape, epsilon: epsilon)
    return try result(
      Reference.rmsNorm(doubles(x), weight: doubles(weight), epsilon: Double(epsilon)), operation)
  }

  public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float) throws -> Tensor {
    let operation = try LayerNorm(x: x.shape, weight: weight.shape, bias: bias.shape, epsilon: epsilon)
    return try result(
      Reference.layerNorm(
        doubles(x), weight: doubles(weight), bias: doubles(bias), epsilon: Double(epsilon)),
      operation)
  }

  public func rope(_ x: Tensor, _ spec: RoPE, _ batch: any PreparedBatch) throws -> Tensor {
    let operation = try RotaryEmbedding(x: x.shape, spec: spec, batchRows: batch.metadata.rows)
    return try result(
      Reference.rope(doubles(x), width: x.width, spec, positions: batch.metadata.positions), operation)
  }

  public func storeKV(
    key: Tensor, value: Tensor, layer: Int, cache: any KVCache, _ batch: any PreparedBatch
  ) throws {
    _ = try StoreKV(
      key: key.shape, value: value.shape, layer: layer, cache: cache.spec, batch: batch.metadata)
    let (key, value) = (try doubles(key), try doubles(value))
    try cast(cache, Cache.self).content.store(key: key, value: value, layer: layer, batch.metadata)
  }

  public func attention(
    _ query: Tensor, heads: Int, scale: Float, layer: Int, cache: any KVCache, _ batch: any PreparedBatch
  ) throws -> Tensor {
    let operation = try Attention(
      query: query.shape, heads: heads, layer: layer, cache: cache.spec, batch: batch.metadata)
    return try result(
      Reference.attention(
        doubles(query), heads: heads, scale: Double(scale), layer: layer,
        cache: cast(cache, Cache.self).content, batch.metadata),
      operation)
  }

  public func siluMul(gate: Tensor, up: Tensor) throws -> Tensor {
    let operation = try SiLUMul(gate: gate.shape, up: up.shape)
    return try result(Reference.siluMul(gate: doubles(gate), up: doubles(up)), operation)
  }

  public func gelu(_ x: Tensor, _ form: GELU.Form) throws -> Tensor {
    try result(Reference.gelu(doubles(x), form), GELU(x.shape))
  }

  public func tanh(_ x: Tensor) throws -> Tensor { try result(Reference.tanh(doubles(x)), Tanh(x.shape)) }

  public func add(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let operation = try Add(a.shape, b.shape)
    return try result(Reference.add(doubles(a), doubles(b)), operation)
  }

  public func softmax(_ x: Tensor) throws -> Tensor {
    let operation = try Softmax(x.shape)
    return try result(Reference.softmax(doubles(x), width: x.width), operation)
  }

  public func gatherRows(_ x: Tensor, _ indices: [Int32]) throws -> Tensor {
    let operation = try GatherRows(x.shape, indices: indices)
    let values = try doubles(x)
    return try upload(
      exact: indices.flatMap { values[(Int($0) * x.width)...].prefix(x.width) }, shape: operation.outputShape)
  }

  public func logProbabilities(_ logits: Tensor, _ requests: [LogProbabilityRequest]) throws
    -> [LogProbabilityRow]
  {
    _ = try LogProbabilities(logits.shape, requests: requests)
    let values = try read(logits)
    return requests.enumerated().map { row, request in
      let slice = Array(values[(row * logits.width)...].prefix(logits.width))
      let expected = Reference.logProbabilities(slice, request)
      return LogProbabilityRow(
        topIDs: expected.topIDs, topLogits: expected.topLogits.map(Float.init),
        logSumExp: Float(expected.logSumExp), logSumExpAtTemperature: Float(expected.logSumExpAtTemperature),
        chosenLogProbabilities: expected.chosen.map(Float.init))
    }
  }

  public func gumbelArgmax(
    _ logits: Tensor, temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
  ) throws -> [Int32] {
    let requests = try LogProbabilityRequest.sampling(temperatures, allowed: allowed)
    guard logits.shape.rank == 2,
      [temperatures.count, keys.count, positions.count].allSatisfy({ $0 == logits.rows }),
      temperatures.allSatisfy({ $0 > 0 })
    else {
      throw RetortError(.shapeMismatch, "gumbel_argmax: a value a row is needed", remedy: "Pass one a row.")
    }
    let values = try read(logits)
    return (0..<logits.rows).map { row in
      let slice = Array(values[(row * logits.width)...].prefix(logits.width))
      let scores = Reference.gumbelScores(
        slice, temperature: temperatures[row], key: keys[row], position: positions[row],
        allowed: requests[row].allowed)
      return Int32(scores.indices.max { scores[$0] < scores[$1] } ?? 0)
    }
  }
}
