"""The other engines' worker process: one engine, one network, one image, one number of threads.

    engines.py NAME JOB

JOB is a JSON object: onnx, ncnn (prefix), mnn (files of the exported network), input (.npy, [3, H, W] fp32), threads.  The worker
answers the commands of bench_worker.cpp (`run network N`, `outputs FILE`, `quit`) with one line of JSON each.  It builds every
fp32 variant that its engine has options for, times them against one another, and keeps the fastest; the first line says which.
Input and, where the engine allows it, output memory are bound once: timed is the engine's own work and as little Python as it takes.
"""

import json
import os
import statistics
import sys
import time

LEVELS = (3, 4, 5)
KINDS = ("class", "box", "landmark")


def name(kind, level):
    return f"head.p{level}.{kind}"


NAMES = [name(kind, level) for kind in KINDS for level in LEVELS]


class Ncnn:
    """Pool allocators: with its default allocator it returns every map to the system, and page faults double its time."""

    def __init__(self, job):
        import ncnn
        import numpy as np

        self.ncnn, self.job = ncnn, job
        self.version = ncnn.__version__
        self.array = np.load(job["input"])
        self.input = ncnn.Mat(self.array).clone()

    def variants(self):
        yield "lightmode", lambda: self.net(True)
        yield "lightmode, no winograd63", lambda: self.net(True, use_winograd63_convolution=False)
        yield "no lightmode", lambda: self.net(False)

    def net(self, lightmode, **options):
        net = self.ncnn.Net()
        opt = net.opt
        opt.num_threads = self.job["threads"]
        opt.lightmode = lightmode
        opt.use_vulkan_compute = False
        for option in dir(opt):
            if option.startswith("use_") and any(kind in option for kind in ("fp16", "bf16", "int8")):
                setattr(opt, option, False)
        opt.use_winograd_convolution = opt.use_sgemm_convolution = opt.use_packing_layout = True
        for option, value in options.items():
            setattr(opt, option, value)
        allocators = self.ncnn.UnlockedPoolAllocator(), self.ncnn.PoolAllocator()
        opt.blob_allocator, opt.workspace_allocator = allocators
        if net.load_param(self.job["ncnn"] + ".param") != 0 or net.load_model(self.job["ncnn"] + ".bin") != 0:
            raise RuntimeError("ncnn cannot read the exported network")

        def run(net=net, allocators=allocators):
            extractor = net.create_extractor()
            extractor.input("image", self.input)
            return [extractor.extract(output) for output in NAMES]

        return run

    def maps(self, outputs):
        import numpy as np

        return [np.array(mat) for status, mat in outputs]


class OnnxRuntime:
    """Threads stop spinning when a run ends, so that they do not run into the other engines' time."""

    def __init__(self, job):
        import numpy as np
        import onnxruntime

        self.ort, self.job = onnxruntime, job
        self.version = onnxruntime.__version__
        self.array = np.load(job["input"])[None]
        self.file, self.input_name, self.output_names = job["onnx"], "image", NAMES

    def variants(self):
        levels = self.ort.GraphOptimizationLevel
        yield "ORT_ENABLE_ALL", lambda: self.session(levels.ORT_ENABLE_ALL)
        yield "ORT_ENABLE_EXTENDED", lambda: self.session(levels.ORT_ENABLE_EXTENDED)

    def session(self, level):
        options = self.ort.SessionOptions()
        options.graph_optimization_level = level
        options.intra_op_num_threads = self.job["threads"]
        options.inter_op_num_threads = 1
        options.execution_mode = self.ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        for axis, size in (("height", self.array.shape[2]), ("width", self.array.shape[3])):
            options.add_free_dimension_override_by_name(axis, size)
        session = self.ort.InferenceSession(self.file, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        image = self.ort.OrtValue.ortvalue_from_numpy(self.array)
        binding.bind_ortvalue_input(self.input_name, image)
        for output in self.output_names:
            binding.bind_output(output)

        def run(image=image):
            session.run_with_iobinding(binding)
            return binding

        return run

    def maps(self, outputs):
        return [array[0] for array in outputs.copy_outputs_to_cpu()]


class Scrfd(OnnxRuntime):
    """SCRFD-500M, another network, padded to a multiple of 32."""

    def __init__(self, job):
        import numpy as np

        super().__init__(job)
        height, width = self.array.shape[2:]
        self.array = np.pad(self.array / 128, ((0, 0), (0, 0), (0, -height % 32), (0, -width % 32))).astype(np.float32)
        session = self.ort.InferenceSession(job["scrfd"], providers=["CPUExecutionProvider"])
        self.file, self.input_name = job["scrfd"], session.get_inputs()[0].name
        self.output_names = [output.name for output in session.get_outputs()]


class OpenVino:
    def __init__(self, job):
        import numpy as np
        import openvino

        self.ov, self.job = openvino, job
        self.version = openvino.__version__.split("-")[0]
        self.array = np.load(job["input"])[None]

    def variants(self):
        yield "LATENCY, f32", lambda: self.compiled({})

    def compiled(self, more):
        core = self.ov.Core()
        model = core.read_model(self.job["onnx"])
        model.reshape({"image": list(self.array.shape)})
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.job["threads"],
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # the process is pinned
            **more,
        }
        compiled = core.compile_model(model, "CPU", config)
        request = compiled.create_infer_request()
        request.set_tensor("image", self.ov.Tensor(self.array, shared_memory=True))

        def run(keep=compiled):
            request.infer()
            return request

        return run

    def maps(self, outputs):
        return [outputs.get_tensor(output).data[0].copy() for output in NAMES]


class Mnn:
    """Its plan reuses the input's memory, so the input is written again before every run, out of the measured time."""

    def __init__(self, job):
        import MNN
        import numpy as np

        self.mnn, self.job = MNN, job
        self.version = MNN.version() if hasattr(MNN, "version") else "unknown"
        self.array = np.ascontiguousarray(np.load(job["input"])[None])

    def variants(self):
        for memory in ("normal", "high"):
            yield f"precision high, memory {memory}", lambda memory=memory: self.session(memory)

    def session(self, memory):
        mnn = self.mnn
        interpreter = mnn.Interpreter(self.job["mnn"])
        session = interpreter.createSession(
            {"backend": "CPU", "precision": "high", "memory": memory, "power": "high", "numThread": self.job["threads"]}
        )
        image = interpreter.getSessionInput(session, "image")
        interpreter.resizeTensor(image, self.array.shape)
        interpreter.resizeSession(session)
        host = mnn.Tensor(self.array.shape, mnn.Halide_Type_Float, self.array, mnn.Tensor_DimensionType_Caffe)

        def run():
            interpreter.runSession(session)
            return interpreter, session

        run.before = lambda: image.copyFrom(host)
        return run

    def maps(self, outputs):
        import numpy as np

        interpreter, session = outputs
        maps = []
        for output in NAMES:
            tensor = interpreter.getSessionOutput(session, output)
            shape = tensor.getShape()
            host = self.mnn.Tensor(
                shape, self.mnn.Halide_Type_Float, np.zeros(shape, np.float32), self.mnn.Tensor_DimensionType_Caffe
            )
            tensor.copyToHostTensor(host)
            maps.append(np.array(host.getData(), np.float32).reshape(shape)[0])
        return maps


ENGINES = {"ncnn": Ncnn, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "mnn": Mnn, "scrfd": Scrfd}


def rows(maps):
    """The nine maps [C, H, W] as class logits [A, 2], boxes [A, 4] and landmarks [A, 10] in anchor order, one behind the other."""
    import numpy as np

    return np.concatenate([np.asarray(m, np.float32).transpose(1, 2, 0).reshape(-1) for m in maps])


def outputs(run):
    """One run, the input in place."""
    if hasattr(run, "before"):
        run.before()
    return run()


def milliseconds(run):
    if hasattr(run, "before"):
        run.before()
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def fastest(variants):
    """(name, run) of the fastest variant: interleaved, about a second each."""
    if len(variants) > 1:
        times = [[] for _ in variants]
        for _, run in variants:
            outputs(run)
        once = sum(milliseconds(run) for _, run in variants)
        for _ in range(max(3, min(40, int(1e3 * len(variants) / once)))):
            for (_, run), found in zip(variants, times):
                outputs(run)  # the caches are the other variant's
                found.append(milliseconds(run))
        medians = [statistics.median(found) for found in times]
        return variants[medians.index(min(medians))]
    return variants[0]


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print

    def answer(**what):
        print(json.dumps(what), file=answers, flush=True)

    engine_name, job = sys.argv[1], json.loads(sys.argv[2])
    try:
        engine = ENGINES[engine_name](job)
        variants = [(variant, make()) for variant, make in engine.variants()]
        options, run = fastest(variants)
    except Exception as error:  # whatever a foreign engine may throw: it is named, and the comparison goes on
        answer(error=f"{type(error).__name__}: {error}")
        os._exit(1)
    answer(engine=engine_name, version=engine.version, isa="auto", options=options)

    for line in sys.stdin:
        command, *words = line.split()
        if command == "quit":
            break
        if command == "run":
            outputs(run)
            answer(times=[milliseconds(run) for _ in range(int(words[1]))])
        elif command == "outputs":
            values = rows(engine.maps(outputs(run)))
            values.tofile(words[0])
            answer(anchors=values.size // 16)
        else:
            answer(error="unknown command")
    os._exit(0)  # ncnn crashes where allocators go before the maps they made: leave without clearing up


if __name__ == "__main__":
    main()
