import ArgumentParser
import Basics
import Dispatch
import Foundation
import OpenCLBackend
import OpenCLRuntime
import Tensors

struct BenchGEMM: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gemm", abstract: "Rates of square matrix products beside the device's measured peak.",
    discussion: """
      'matmul' multiplies with stored weights, as models do; 'product' takes the three forms of training, which int8 \
      has not. The peak is what chains of multiply-adds on registers reach on the device (with --precision bf16 or \
      int8 on NVIDIA's GPUs: what mma.sync reaches in bfloat16, which wgmma and int8 may exceed), measured before and \
      after every run and for as long. For --backend cpu it is that of the first OpenCL device that is a processor.

      Example: retort bench gemm --backend opencl --sizes 1024,2048,4096
      """)

  @Option(help: ArgumentHelp("Rows, columns and terms of the products.", valueName: "n,n,…"))
  var sizes = "1024,2048,4096"
  @Option(
    help: ArgumentHelp("What weights and products are kept in.", valueName: "f32|bf16|int8"))
  var precision: Precision = .f32
  @Option(
    help:
      "Runs of each product at least, half a second too; the fastest rate and the middle share are printed.")
  var repeats = 5
  @OptionGroup var options: RunOptions

  enum Precision: String, ExpressibleByArgument, CaseIterable {
    case f32, bf16, int8

    var mode: ComputeMode {
      switch self {
      case .f32: .f32
      case .bf16: .bf16
      case .int8: .int8
      }
    }

    /// What training multiplies in; nil where it does not.
    var products: DType? {
      switch self {
      case .f32: .f32
      case .bf16: .bf16
      case .int8: nil
      }
    }
  }

  private struct Line {
    let name: String
    let size: Int
    let gigaflops: Double
    /// Of the peak right before and after; the middle one of all runs.
    let share: Double?
  }

  func run() throws {
    let sizes = try self.sizes.split(separator: ",", omittingEmptySubsequences: false).map {
      guard let size = Int($0), (1...16384).contains(size) else {
        throw ValidationError("Give --sizes from 1 to 16384 with commas between, not \(self.sizes).")
      }
      return size
    }
    guard (1...1000).contains(repeats) else { throw ValidationError("Give --repeats from 1 to 1000.") }
    let backend = try options.makeTrainingBackend()
    let meter = try Meter(backend, device: options.device?.single(), precision)
    let lines = try sizes.flatMap { try Self.measure($0, precision, repeats: repeats, backend, meter) }
    let gpu = backend as? OpenCLBackend
    let alike = gpu?.canMultiplyOnWarpgroups == true ? try gpu?.warpgroupsAddAsWarps() : nil
    try report(lines, meter, alike)
  }

  /// The arithmetic beside which products are measured: the backend's device's, or that of the first processor.
  private final class Meter {
    let device: OpenCLDevice
    let isMatrix: Bool
    private let meter: ArithmeticMeter
    private(set) var best = 0.0

    init?(_ backend: any Backend, device number: Int?, _ precision: Precision) throws {
      let found =
        backend is OpenCLBackend
        ? try RunOptions.openCLDevice(number) : (try? OpenCLPlatforms.devices())?.first { $0.kind == .cpu }
      guard let found else { return nil }
      device = found
      let kernels = (backend as? OpenCLBackend)?.features.warpInstructions
      isMatrix = precision != .f32 && kernels == .ptx
      meter = try ArithmeticMeter(device, isMatrix ? .matrixBF16 : .f32)
    }

    func gigaflops(over seconds: Double) throws -> Double {
      let rate = try meter.gigaflops(over: seconds)
      best = max(best, rate)
      return rate
    }
  }

  /// Seconds that products of one form run between two looks at the peak; short, since a shared processor's speed
  /// changes within tenths of a second.
  private static let stretch = 0.012
  /// Seconds that a product is measured for at least.
  private static let least = 0.5

  private static func measure(
    _ n: Int, _ precision: Precision, repeats: Int, _ backend: any Backend & TrainingBackend, _ meter: Meter?
  ) throws -> [Line] {
    let flops = 2 * Double(n) * Double(n) * Double(n)
    return try forms(n, precision, backend).map { name, product in
      // Builds kernels; then how many products make a stretch.
      _ = try seconds(backend, 1, product)
      let once = try seconds(backend, 1, product)
      let count = max(1, min(1024, Int(stretch / once)))
      let length = max(stretch, once)
      var (best, shares) = (Double.infinity, [Double]())
      var before = try meter?.gigaflops(over: length)
      let started = DispatchTime.now().uptimeNanoseconds
      var runs = 0
      while runs < repeats || Double(DispatchTime.now().uptimeNanoseconds - started) / 1e9 < least {
        runs += 1
        let time = try seconds(backend, count, product) / Double(count)
        let after = try meter?.gigaflops(over: length)
        if let before, let after { shares.append(flops / time / 1e9 / ((before + after) / 2)) }
        best = min(best, time)
        before = after
      }
      let middle = shares.isEmpty ? nil : shares.sorted()[shares.count / 2]
      return Line(name: name, size: n, gigaflops: flops / best / 1e9, share: middle)
    }
  }

  private static func forms(
    _ n: Int, _ precision: Precision, _ backend: any Backend & TrainingBackend
  ) throws -> [(String, () throws -> Tensor)] {
    // Small whole numbers: every sum is exact, and no value is subnormal.
    let values = (0..<(n * n)).map { Float($0 % 7) - 3 }
    let (x, w) = (try backend.upload(values, shape: [n, n]), try backend.upload(values, shape: [n, n]))
    let stored = StoredFloats(values)
    let weight = try backend.loadMatrix(
      [
        WeightSource(
          name: "weight", dtype: .f32, shape: [n, n], file: "memory",
          bytes: { UnsafeRawBufferPointer(stored.values) })
      ], compute: precision.mode)
    var forms: [(String, () throws -> Tensor)] = [("matmul", { try backend.matmul(x, weight, bias: nil) })]
    guard let dtype = precision.products else { return forms }
    let products = [("x Wᵀ", false, true), ("dY W", false, false), ("dYᵀ x", true, false)]
    for (name, transposeA, transposeB) in products {
      forms.append(
        (
          "product \(name)",
          {
            try backend.product(
              x, transposeA: transposeA, w, transposeB: transposeB, bias: nil, addTo: nil,
              precision: dtype)
          }
        ))
    }
    guard dtype == .bf16, let gpu = backend as? OpenCLBackend, gpu.canMultiplyOnWarpgroups else {
      return forms
    }
    // The other of the tensor cores' two ways.
    let other = !gpu.multipliesOnWarpgroups(dtype)
    for (name, transposeA, transposeB) in products {
      forms.append(
        (
          "product \(name), \(other ? "wgmma" : "mma")",
          {
            try gpu.product(
              x, transposeA: transposeA, w, transposeB: transposeB, bias: nil, addTo: nil,
              precision: dtype, onWarpgroups: other)
          }
        ))
    }
    return forms
  }

  private static func seconds(_ backend: any Backend, _ count: Int, _ body: () throws -> Tensor) throws
    -> Double
  {
    let start = DispatchTime.now().uptimeNanoseconds
    for _ in 0..<count { _ = try body() }
    try backend.synchronize()
    return max(1e-9, Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9)
  }

  /// - Parameter alike: whether `wgmma` adds as `mma.sync` does, where there are both.
  private func report(_ lines: [Line], _ meter: Meter?, _ alike: Bool?) throws {
    let peak = meter.map { $0.isMatrix ? "mma.sync bf16" : "f32" }
    if options.json {
      var object: [String: Any] = [
        "products": lines.map { line in
          var fields: [String: Any] = ["form": line.name, "size": line.size, "gflops": line.gigaflops]
          fields["share_of_peak"] = line.share
          return fields
        }
      ]
      object["wgmma_adds_as_mma"] = alike
      object["peak"] = peak
      object["peak_gflops"] = meter?.best
      return Output.write(try Output.json(object))
    }
    Output.write("product                  size   GFLOP/s   of the peak then\n")
    for line in lines {
      let share = line.share.map { String(format: "%.0f%%", $0 * 100) } ?? "–"
      Output.write(
        line.name.padding(toLength: 22, withPad: " ", startingAt: 0)
          + String(format: "%7d %9.1f   ", line.size, line.gigaflops) + share + "\n")
    }
    if let alike { Output.write("wgmma gives the bits of mma.sync: \(alike ? "yes" : "no")\n") }
    if let meter, let peak {
      Output.write(
        String(
          format: "highest peak: %.0f GFLOP/s (\(peak), %@)\n", meter.best, meter.device.name as NSString))
    }
  }

  /// Numbers at an address of their own, as a file's are.
  private final class StoredFloats: @unchecked Sendable {
    let values: UnsafeMutableBufferPointer<Float>

    init(_ values: [Float]) {
      self.values = .allocate(capacity: values.count)
      _ = self.values.initialize(from: values)
    }

    deinit { values.deallocate() }
  }
}
