# The commands of the README. Each is a script that also runs without make.

.PHONY: help demo compare compare-funasr bench-peers test arm mca services stop-services

help:
	@echo 'make demo           transcribe real recordings, print word error rate and speed'
	@echo 'make compare        the same beside faster-whisper with the same weights'
	@echo 'make compare-funasr the same beside funasr_onnx with the same Paraformer'
	@echo 'make bench-peers    speed, memory and loading beside all peers, one table'
	@echo 'make test           every test, with the services they need'
	@echo 'make arm            build for aarch64 and test the kernels and the engine under emulation'
	@echo 'make mca            cycles of the inner loops on Arm cores, beside the least possible'
	@echo 'make services       start the services of the tests and leave them running'
	@echo 'make stop-services  stop them'

demo:
	@scripts/demo.sh

compare:
	@scripts/compare.sh

compare-funasr:
	@scripts/compare-funasr.sh

bench-peers:
	@scripts/bench-peers.sh

test:
	@tests/run.sh

arm:
	@scripts/arm.sh test

mca:
	@scripts/arm.sh mca

# For running single tests by hand: eval "$$(make -s services)"
services:
	@tests/services/start.sh .cache/services

stop-services:
	@tests/services/stop.sh .cache/services
