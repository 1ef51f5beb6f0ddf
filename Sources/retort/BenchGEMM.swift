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
      'matmul' multiplies with stored weights, as models do; 'product' takes the three forms of training. The peak is \
      what chains of multiply-adds on registers reach on the device, measured before and after; the higher counts. For \
      --backend cpu it is that of the first OpenCL device that is a processor.

      Example: retort bench gemm --backend opencl --sizes 1024,2048,4096
      """)

  @Option(help: ArgumentHelp("Rows, columns and terms of the products.", valueName: "n,n,…"))
  var sizes = "1024,2048,4096"
  @Option(help: "What weights and products are kept in: f32 or bf16.")
  var precision: TrainingPrecision = .f32
  @Option(help: "Runs of each product; the fastest counts.")
  var repeats = 5
  @OptionGroup var options: RunOptions

  private struct Line {
    let name: String
    let size: Int
    let gigaflops: Double
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
    let device = try probedDevice(backend)
    let before = try device.flatMap(Self.peak)
    let lines = try sizes.flatMap { try Self.measure($0, precision.dtype, repeats: repeats, backend) }
    let peak = try device.flatMap(Self.peak).map { max($0, before ?? 0) }
    try report(lines, peak, device)
  }

  /// The device whose peak counts: the backend's own, or the first processor.
  private func probedDevice(_ backend: any Backend) throws -> OpenCLDevice? {
    if backend is OpenCLBackend { return try RunOptions.openCLDevice(options.device?.single()) }
    return (try? OpenCLPlatforms.devices())?.first { $0.kind == .cpu }
  }

  private static func peak(_ device: OpenCLDevice) throws -> Double? {
    try DeviceProbe(device).measure().rates?.f32Gigaflops.value
  }

  private static func measure(
    _ n: Int, _ precision: DType, repeats: Int, _ backend: any Backend & TrainingBackend
  ) throws -> [Line] {
    // Small whole numbers: every sum is exact, and no value is subnormal.
    let values = (0..<(n * n)).map { Float($0 % 7) - 3 }
    let (x, w) = (try backend.upload(values, shape: [n, n]), try backend.upload(values, shape: [n, n]))
    let stored = StoredFloats(values)
    let weight = try backend.loadMatrix(
      [
        WeightSource(
          name: "weight", dtype: .f32, shape: [n, n], file: "memory",
          bytes: { UnsafeRawBufferPointer(stored.values) })
      ], compute: precision == .f32 ? .f32 : .bf16)
    func product(_ transposeA: Bool, _ transposeB: Bool) throws -> Tensor {
      try backend.product(
        x, transposeA: transposeA, w, transposeB: transposeB, bias: nil, addTo: nil, precision: precision)
    }
    let forms: [(String, () throws -> Tensor)] = [
      ("matmul", { try backend.matmul(x, weight, bias: nil) }),
      ("product x Wᵀ", { try product(false, true) }),
      ("product dY W", { try product(false, false) }),
      ("product dYᵀ x", { try product(true, false) }),
    ]
    var best = [Double](repeating: .infinity, count: forms.count)
    for round in 0...repeats {
      for (index, form) in forms.enumerated() {
        let start = DispatchTime.now().uptimeNanoseconds
        _ = try form.1()
        try backend.synchronize()
        // The first round builds kernels.
        let time = Double(DispatchTime.now().uptimeNanoseconds - start)
        if round > 0 { best[index] = min(best[index], time) }
      }
    }
    let flops = 2 * Double(n) * Double(n) * Double(n)
    return zip(forms, best).map { Line(name: $0.0, size: n, gigaflops: flops / $1) }
  }

  private func report(_ lines: [Line], _ peak: Double?, _ device: OpenCLDevice?) throws {
    if options.json {
      var object: [String: Any] = [
        "products": lines.map {
          ["form": $0.name, "size": $0.size, "gflops": $0.gigaflops] as [String: Any]
        }
      ]
      object["peak_gflops_f32"] = peak
      return Output.write(try Output.json(object))
    }
    Output.write("product              size   GFLOP/s   share of the f32 peak\n")
    for line in lines {
      let share = peak.map { String(format: "%.0f%%", line.gigaflops / $0 * 100) } ?? "–"
      Output.write(
        line.name.padding(toLength: 18, withPad: " ", startingAt: 0)
          + String(format: "%7d %9.1f   ", line.size, line.gigaflops) + share + "\n")
    }
    if let peak, let device {
      Output.write(String(format: "measured peak: %.0f GFLOP/s (f32, %@)\n", peak, device.name as NSString))
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
