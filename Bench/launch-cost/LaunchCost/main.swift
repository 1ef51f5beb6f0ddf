import Foundation
import LaunchCostDriver
import OpenCLBackend
import OpenCLRuntime
import Tensors

// The host's time for an operation on tensors so small that the device hardly works (Bench/launch-cost/README.md).

/// Seconds of the calling thread's processor time that `body` takes: the fastest of many rounds.
func cost(rounds: Int, calls: Int, after: () throws -> Void = {}, _ body: () throws -> Void) rethrows
  -> Double
{
  var best = Double.infinity
  for _ in 0..<rounds {
    let start = driver_thread_nanoseconds()
    for _ in 0..<calls { try body() }
    let end = driver_thread_nanoseconds()
    try after()
    best = min(best, Double(end - start) / Double(calls))
  }
  return best * 1e-9
}

func micro(_ seconds: Double) -> String {
  let text = String(format: "%.2f", seconds * 1e6)
  return String(repeating: " ", count: max(0, 9 - text.count)) + text
}

func pad(_ text: String, _ width: Int) -> String {
  text.padding(toLength: width, withPad: " ", startingAt: 0)
}

/// A decode step's layer at one row of 64 columns.
struct Layer {
  let backend: OpenCLBackend
  let x: Tensor
  let wide: Tensor
  let vector: Tensor
  let square: any MatrixWeight
  let batch: any PreparedBatch
  let cache: any KVCache
  let spec = RoPE(headDim: 16, rotaryDim: 16, base: 10000, pairing: .halves)

  init(_ backend: OpenCLBackend) throws {
    self.backend = backend
    x = try backend.upload([Float](repeating: 0.5, count: 64), shape: [1, 64])
    wide = try backend.upload([Float](repeating: 0.5, count: 128), shape: [1, 128])
    vector = try backend.upload([Float](repeating: 0.5, count: 64), shape: [64])
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 64 * 4, alignment: 64)
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    let bytes = UInt(bitPattern: memory.baseAddress)
    square = try backend.loadMatrix(
      [
        WeightSource(
          name: "square", dtype: .f32, shape: [64, 64], file: "memory",
          bytes: { UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: bytes), count: 64 * 64 * 4) })
      ], compute: .bf16)
    let slice = SequenceSlice(rowStart: 0, rowCount: 1, contextLength: 16, blockTable: [0])
    batch = try backend.prepare(BatchMetadata(tokenIDs: [0], sequences: [slice], blockSize: 16))
    cache = try backend.makeKVCache(
      KVCacheSpec(layers: 1, blocks: 1, blockSize: 16, kvHeads: 2, headDim: 16, dtype: .f16))
  }

  /// Each operation, and how many of it a layer has.
  var operations: [(name: String, count: Int, run: () throws -> Void)] {
    [
      ("matmul", 4, { _ = try backend.matmul(x, square, bias: nil) }),
      ("rope", 1, { _ = try backend.rope(x, spec, batch) }),
      ("store_kv", 1, { try storeKV() }),
      ("attention", 1, { try attend() }),
      ("add_rms_norm", 2, { _ = try backend.addRMSNorm(x, x, weight: vector, epsilon: 1e-5) }),
      (
        "silu_mul", 1,
        { _ = try backend.siluMul(gate: wide.columns(0..<64), up: wide.columns(64..<128)) }
      ),
    ]
  }

  private func storeKV() throws {
    try backend.storeKV(
      key: wide.columns(0..<32), value: wide.columns(32..<64), layer: 0, cache: cache, batch)
  }

  private func attend() throws {
    _ = try backend.attention(x, heads: 4, scale: 0.25, layer: 0, cache: cache, batch)
  }
}

/// Prints a line of an operation's cost: with the driver, and with calls that do nothing in its place.
func report(_ name: String, _ backend: OpenCLBackend, _ run: () throws -> Void) throws
  -> (total: Double, own: Double, launches: Double)
{
  try run()
  try backend.synchronize()
  let before = (driver_launches(), driver_arguments())
  try run()
  let launches = driver_launches() - before.0
  let arguments = driver_arguments() - before.1
  try backend.synchronize()
  let total = try cost(rounds: 40, calls: 200, after: { try backend.synchronize() }, run)
  driver_set_idle(true)
  let own = try cost(rounds: 40, calls: 1000, run)
  driver_set_idle(false)
  print(pad(name, 16), pad("\(launches)", 8), pad("\(arguments)", 9), micro(total), micro(own))
  return (total, own, Double(launches))
}

func measure(_ title: String, _ backend: OpenCLBackend) throws {
  print("\n\(title)\n" + pad("", 16), "launches arguments  µs, all  µs, own")
  let layer = try Layer(backend)
  var (total, own, launches) = (0.0, 0.0, 0.0)
  for (name, count, run) in layer.operations {
    let line = try report(name, backend, run)
    total += line.total * Double(count)
    own += line.own * Double(count)
    launches += line.launches * Double(count)
  }
  print(
    pad("a launch of 10", 16), pad("", 8), pad("", 9), micro(total / launches), micro(own / launches))
}

/// The pieces that operations are made of.
func measurePieces(_ device: OpenCLDevice) throws {
  let backend = try OpenCLBackend(device: device)
  let context = try OpenCLContext(device: device)
  let kernel = try context.makeProgram(
    name: "piece",
    source: """
      kernel void piece(global const float *a, uint a_offset, uint a_stride, global const float *b, uint b_offset,
                        global float *y, uint width, float epsilon) { y[0] = a[0] + b[0]; }
      """
  ).kernel("piece")
  let (a, b, y) = (
    try context.makeBuffer(byteCount: 256), try context.makeBuffer(byteCount: 256),
    try context.makeBuffer(byteCount: 256)
  )
  func launch() throws {
    try context.launch(
      kernel,
      [
        .buffer("a", a), .uint("a_offset", 0), .uint("a_stride", 64), .buffer("b", b), .uint("b_offset", 0),
        .buffer("y", y), .uint("width", 64), .float("epsilon", 1e-5),
      ], global: (1, 1, 1), local: (1, 1, 1))
  }
  try launch()
  try context.finish()
  print("pieces" + String(repeating: " ", count: 10), "launches arguments  µs, all  µs, own")
  let total = try cost(rounds: 40, calls: 200, after: { try context.finish() }, launch)
  driver_set_idle(true)
  let own = try cost(rounds: 40, calls: 1000, launch)
  driver_set_idle(false)
  print(pad("launch", 16), pad("1", 8), pad("8", 9), micro(total), micro(own))
  let tensor = try cost(rounds: 40, calls: 1000) { _ = try backend.allocate([1, 64], .f32) }
  print(pad("tensor", 16), pad("", 8), pad("", 9), micro(tensor), micro(tensor))
}

let devices = try OpenCLPlatforms.devices()
let device = devices[CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 0]
print(device.name)
try measurePieces(device)
try measure("CPU-class kernels", OpenCLBackend(device: device, family: .cpu))
try measure("GPU-class kernels", OpenCLBackend(device: device, family: .gpu, features: .portable))
if device.kind == .cpu {
  try measure(
    "GPU-class kernels, warp instructions emulated",
    OpenCLBackend(device: device, family: .gpu, features: KernelFeatures(warpInstructions: .emulated)))
}
