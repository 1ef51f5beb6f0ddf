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

  private struct Form {
    let name: String
    let product: () throws -> Tensor
  }

  private struct Rate: Codable, Equatable {
    let gigaflops: Double
    /// Of the peak right before and after; the middle one of all runs.
    let share: Double?
  }

  private struct Line {
    let name: String
    let size: Int
    let rate: Probed<Rate>
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
    var lines: [Line] = []
    var alike: Probed<Bool>?
    do {
      for size in sizes {
        for form in try Self.forms(size, precision, backend) {
          let rate = try rate(form, size, backend, meter)
          lines.append(Line(name: form.name, size: size, rate: .known(rate)))
        }
      }
      if precision == .bf16, let gpu = backend as? OpenCLBackend, gpu.canMultiplyOnWarpgroups {
        // After all others: a fault may leave a context in which nothing runs.
        for size in sizes {
          lines += try Self.otherForms(size, gpu).map { form in
            Line(name: form.name, size: size, rate: Probed { try rate(form, size, backend, meter) })
          }
        }
        alike = Probed { try gpu.warpgroupsAddAsWarps() }
      }
    } catch {
      // What has been measured is not lost.
      if !lines.isEmpty { try report(lines, meter, alike) }
      throw error
    }
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

  private func rate(_ form: Form, _ n: Int, _ backend: any Backend & TrainingBackend, _ meter: Meter?)
    throws -> Rate
  {
    let flops = 2 * Double(n) * Double(n) * Double(n)
    // Builds kernels; then how many products make a stretch.
    _ = try Self.seconds(backend, 1, form.product)
    let once = try Self.seconds(backend, 1, form.product)
    let count = max(1, min(1024, Int(Self.stretch / once)))
    let length = max(Self.stretch, once)
    var (best, shares) = (Double.infinity, [Double]())
    var before = try meter?.gigaflops(over: length)
    let started = DispatchTime.now().uptimeNanoseconds
    var runs = 0
    while runs < repeats || Double(DispatchTime.now().uptimeNanoseconds - started) / 1e9 < Self.least {
      runs += 1
      let time = try Self.seconds(backend, count, form.product) / Double(count)
      let after = try meter?.gigaflops(over: length)
      if let before, let after { shares.append(flops / time / 1e9 / ((before + after) / 2)) }
      best = min(best, time)
      before = after
    }
    let middle = shares.isEmpty ? nil : shares.sorted()[shares.count / 2]
    return Rate(gigaflops: flops / best / 1e9, share: middle)
  }

  /// The three products of training: outputs, and the gradients of inputs and weights.
  private static let products = [("x Wᵀ", false, true), ("dY W", false, false), ("dYᵀ x", true, false)]

  /// Small whole numbers: every sum is exact, and no value is subnormal.
  private static func values(_ n: Int) -> [Float] { (0..<(n * n)).map { Float($0 % 7) - 3 } }

  private static func forms(
    _ n: Int, _ precision: Precision, _ backend: any Backend & TrainingBackend
  ) throws -> [Form] {
    let values = values(n)
    let (x, w) = (try backend.upload(values, shape: [n, n]), try backend.upload(values, shape: [n, n]))
    let stored = StoredFloats(values)
    let weight = try backend.loadMatrix(
      [
        WeightSource(
          name: "weight", dtype: .f32, shape: [n, n], file: "memory",
          bytes: { UnsafeRawBufferPointer(stored.values) })
      ], compute: precision.mode)
    let matmul = Form(name: "matmul") { try backend.matmul(x, weight, bias: nil) }
    guard let dtype = precision.products else { return [matmul] }
    return [matmul]
      + products.map { name, transposeA, transposeB in
        Form(name: "product \(name)") {
          try backend.product(
            x, transposeA: transposeA, w, transposeB: transposeB, bias: nil, addTo: nil, precision: dtype)
        }
      }
  }

  /// Products in bfloat16 by the other of the tensor cores' two ways than the device's table asks for.
  private static func otherForms(_ n: Int, _ gpu: OpenCLBackend) throws -> [Form] {
    let values = values(n)
    let (x, w) = (try gpu.upload(values, shape: [n, n]), try gpu.upload(values, shape: [n, n]))
    let other = !gpu.multipliesOnWarpgroups(.bf16)
    return products.map { name, transposeA, transposeB in
      Form(name: "product \(name), \(other ? "wgmma" : "mma")") {
        try gpu.product(
          x, transposeA: transposeA, w, transposeB: transposeB, bias: nil, addTo: nil, precision: .bf16,
          onWarpgroups: other)
      }
    }
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
  private func report(_ lines: [Line], _ meter: Meter?, _ alike: Probed<Bool>?) throws {
    let peak = meter.map { $0.isMatrix ? "mma.sync bf16" : "f32" }
    if options.json {
      var object: [String: Any] = [
        "products": lines.map { line in
          var fields: [String: Any] = ["form": line.name, "size": line.size]
          fields["gflops"] = line.rate.value?.gigaflops
          fields["share_of_peak"] = line.rate.value?.share
          fields["error"] = line.rate.reason
          return fields
        }
      ]
      object["wgmma_adds_as_mma"] = alike?.value
      object["wgmma_adds_as_mma_error"] = alike?.reason
      object["peak"] = peak
      object["peak_gflops"] = meter?.best
      return Output.write(try Output.json(object))
    }
    Output.write("product                  size   GFLOP/s   of the peak then\n")
    for line in lines {
      let result =
        switch line.rate {
        case .known(let rate):
          String(format: "%9.1f   ", rate.gigaflops)
            + (rate.share.map { String(format: "%.0f%%", $0 * 100) } ?? "–")
        case .absent(let reason): "  " + reason
        }
      Output.write(
        line.name.padding(toLength: 22, withPad: " ", startingAt: 0) + String(format: "%7d ", line.size)
          + result + "\n")
    }
    if let alike {
      let answer = alike.value.map { $0 ? "yes" : "no" } ?? alike.reason ?? ""
      Output.write("wgmma gives the bits of mma.sync: \(answer)\n")
    }
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
